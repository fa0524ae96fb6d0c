"""What `run.py` says when pytest does not come to its end: the last line names the test, however much came before."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DYING = "tests/integration/scenarios/dying_tests.py"


def run(*names: str) -> "subprocess.CompletedProcess[str]":
    """`run.py` on some of the dying tests; both its outputs together, as CI shows them."""
    command = [sys.executable, TESTS / "run.py", "-ra", *(f"{DYING}::{name}" for name in names)]
    return subprocess.run(
        command,
        cwd=TESTS.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "code", "how"),
    [
        ("test_that_aborts", 134, "was ended by SIGABRT in"),
        ("test_that_is_killed", 137, "was ended by SIGKILL in"),
        ("test_that_leaves", 3, "left with 3 in"),
        ("test_whose_server_takes_pytest_along", 134, "was ended by SIGABRT in"),
    ],
)
def test_a_test_that_takes_pytest_along_is_named_last(name: str, code: int, how: str) -> None:
    done = run("test_that_goes_well", name)
    assert done.stdout.splitlines()[-1] == f"pytest {how} {DYING}::{name}"
    assert done.returncode == code


def test_a_test_that_fails_is_named_by_pytest_itself() -> None:
    done = run("test_that_goes_well", "test_that_fails")
    assert done.stdout.splitlines()[-2].startswith(f"FAILED {DYING}::test_that_fails")
    assert done.returncode == 1


def test_a_run_that_goes_well_says_nothing_more() -> None:
    done = run("test_that_goes_well")
    assert done.stdout.splitlines()[-1].startswith("1 passed")
    assert done.returncode == 0
