"""Fixtures of all tests, and the note of the test that is under way, for `run.py`."""

import os
import shutil
import signal
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # a busy machine is no finding
settings.load_profile("no deadline")

_NOTE = pytest.StashKey[Path]()


_PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def pytest_sessionstart() -> None:
    """What is installed may be older than the tree: sources are found by their entry points."""
    declared = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["entry-points"]["consumerd.sources"]
    if missing := declared.keys() - entry_points(group="consumerd.sources").names:
        pytest.exit(f"pyproject.toml has sources that are not installed ({', '.join(missing)}): run make setup", 2)


def pytest_configure(config: pytest.Config) -> None:
    """Take the note's name out of the environment: what a test executes may be a pytest, too.

    A shell that starts a run in the background has it ignore Ctrl-C, and nohup a hangup; what the tests execute must
    not inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    note = os.environ.pop("CONSUMERD_TEST_UNDER_WAY", None)
    if note is not None:
        config.stash[_NOTE] = Path(note)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note the test; the note stays where this process ends before the test does."""
    note = item.config.stash.get(_NOTE, None)
    if note is not None:
        note.write_text(f"in {item.nodeid}")
    outcome = yield
    if note is not None:
        note.write_text(f"after {item.nodeid}")
    return outcome


def pytest_unconfigure(config: pytest.Config) -> None:
    """All went its way."""
    note = config.stash.get(_NOTE, None)
    if note is not None:
        note.unlink(missing_ok=True)


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """An empty folder with a path so short that a Unix socket fits into it; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="cd-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
