"""How a consumer's processes are executed: what is wrong with it is said, and the environment is laid over in order."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from consumerd.config.execution import Execution, parse_env_file, read_env_file, secrets_of_environment
from consumerd.config.loading import Validated, unreachable_store_problems, validate
from consumerd.config.plain import Written
from consumerd.config.problems import path_text
from consumerd.config.secrets import UnresolvedError

OWN = pwd.getpwuid(os.geteuid())
OTHER = next(each for each in pwd.getpwall() if each.pw_uid not in (0, os.geteuid()))
ENVIRON = {"PATH": "/bin", "SECRET": "hunter2", "HOME": "/nowhere"}


def validated(directory: Path, configs: dict[str, Any], **settings: Any) -> Validated:
    written = {"g": [{"module": "m", "class": "C", "configs": configs}], "consumerd": settings}
    return validate(Written("f", str(directory), written), ENVIRON)


def problems(directory: Path, configs: dict[str, Any]) -> dict[str, str]:
    return {path_text(each.path): each.sentence for each in validated(directory, configs).problems}


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=1\nB = two words \n", {"A": "1", "B": "two words"}),
        ("# a comment\n\n  \nA=1\r\n", {"A": "1"}),
        ("A=\"it's\"\nB='a=b'\nC=\"half\nD=\n", {"A": "it's", "B": "a=b", "C": '"half', "D": ""}),
        ("A=${B} $C #no comment\n", {"A": "${B} $C #no comment"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("A=a\u2028b\x0cc\x85d\n", {"A": "a\u2028b\x0cc\x85d"}),
    ],
)
def test_an_env_file_holds_keys_and_values_as_they_stand(text: str, variables: dict[str, str]) -> None:
    assert parse_env_file(text) == variables


def test_a_byte_order_mark_belongs_to_no_name(tmp_path: Path) -> None:
    (tmp_path / "app.env").write_bytes(b"\xef\xbb\xbfFIRST=1\r\nSECOND=2\r\n")
    assert read_env_file(tmp_path / "app.env") == {"FIRST": "1", "SECOND": "2"}


@pytest.mark.parametrize("line", ["nothing", "=1", "export A=1", "A B=1", "A=\0"])
def test_a_line_of_an_env_file_that_is_none_is_named_by_its_number_and_not_shown(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2 is not KEY=VALUE$"):
        parse_env_file(f"A=1\n{line}\n")


@pytest.mark.parametrize(
    ("configs", "path", "part"),
    [
        ({"environment": "production"}, "environment", "must be a table"),
        ({"environment": {"A": 1}}, "environment.A", "must be text, and is 1: write it in quotes"),
        ({"environment": {"A=B": "x"}}, 'environment."A=B"', "is no name of a variable"),
        ({"environment": {"": "x"}}, 'environment.""', "is no name of a variable"),
        ({"environment": {"A": "x\0"}}, "environment.A", "NUL"),
        ({"environment": {"A": "${MISSING}"}}, "environment.A", "MISSING is not set"),
        ({"environment": {"A": "file:missing"}}, "environment.A", "cannot be read"),
        ({"env_file": "missing"}, "env_file", "cannot be read (No such file or directory)"),
        ({"env_file": "bad"}, "env_file", "line 1 is not KEY=VALUE"),
        ({"env_file": "."}, "env_file", "Is a directory"),
        ({"env_file": 3}, "env_file", "must be text"),
        ({"directory": "missing"}, "directory", "there is no directory"),
        ({"directory": "bad"}, "directory", "there is no directory"),
        ({"user": "nobody-of-that-name"}, "user", "there is no user 'nobody-of-that-name' on this machine"),
        ({"user": 2_000_000_001}, "user", "there is no user 2000000001"),
        ({"user": -1}, "user", "at least 0"),
        ({"user": 2**80}, "user", "there is no user"),
        ({"user": True}, "user", "must be a whole number or text"),
        ({"user": ""}, "user", "length of at least 1"),
        ({"nice": 20}, "nice", "at most 19"),
        ({"nice": -21}, "nice", "at least -20"),
        ({"enabled": "no"}, "enabled", "true or false"),
    ],
)
def test_each_mistake_is_one_sentence_at_its_place(
    tmp_path: Path, configs: dict[str, Any], path: str, part: str
) -> None:
    (tmp_path / "bad").write_text("hunter2 is no line\n")
    found = problems(tmp_path, configs)
    assert list(found) == [f"g[0].configs.{path}"]
    assert part in found[f"g[0].configs.{path}"]
    assert "hunter2" not in str(found)


def test_a_mistake_in_the_defaults_is_said_once_there(tmp_path: Path) -> None:
    found = validated(tmp_path, {}, defaults={"env_file": "missing"}).problems
    assert [path_text(each.path) for each in found] == ["consumerd.defaults.env_file"]


def test_the_environment_travels_as_it_is_written(tmp_path: Path) -> None:
    document = validated(tmp_path, {"environment": {"TOKEN": "${SECRET}"}}).document
    assert document is not None
    assert "hunter2" not in document.model_dump_json()
    assert document.consumers[0].execution.environment == {"TOKEN": "${SECRET}"}


def test_variables_lie_over_each_other_in_order_and_references_see_the_file(tmp_path: Path) -> None:
    (tmp_path / "variables").write_text("PW=s3cret\nHOME=/of/file\nA=file\n")
    written = {"A": "own", "URL": "db://u:${PW}@h", "OLD": "${SECRET}"}
    execution = Execution(tmp_path, environment=written, env_file="variables", user=OWN.pw_uid)
    found = execution.variables(ENVIRON)
    assert found == {
        "PATH": "/bin",
        "SECRET": "hunter2",
        "USER": OWN.pw_name,
        "LOGNAME": OWN.pw_name,
        "SHELL": OWN.pw_shell,
        "HOME": "/of/file",
        "PW": "s3cret",
        "A": "own",
        "URL": "db://u:s3cret@h",
        "OLD": "hunter2",
    }
    assert secrets_of_environment(written, found, tmp_path) == {"db://u:s3cret@h", "s3cret", "hunter2"}


def test_references_are_resolved_with_the_environment_that_the_processes_will_have(tmp_path: Path) -> None:
    (tmp_path / "variables").write_text("RETRIES=7\n")
    written = {"environment": {"N": "3", "PATH": "/opt"}, "env_file": "variables", "directory": "${PATH}"}
    found = validated(tmp_path, {**written, "workers": "${N}", "task_retry_times": "${RETRIES}"})
    assert found.document is not None
    assert [path_text(each.path) for each in found.problems] == []
    common = found.document.consumers[0].common
    assert (common.workers, common.task_retry_times, common.directory) == (3, 7, "/bin")


def test_a_variable_that_stands_for_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnresolvedError, match=r"environment\.A: .*NOTHING is not set"):
        Execution(tmp_path, environment={"A": "${NOTHING}"}).variables(ENVIRON)


def test_only_root_runs_processes_as_another_user(tmp_path: Path) -> None:
    other, own = Execution(tmp_path, user=OTHER.pw_name), Execution(tmp_path, user=str(OTHER.pw_uid))
    assert other.examine(ENVIRON, 0)[1] == []
    assert own.examine(ENVIRON, OTHER.pw_uid)[1] == []
    [(place, sentence)] = other.examine(ENVIRON, OTHER.pw_uid + 1)[1]
    assert place == ("user",)
    assert sentence.startswith(f"only root can run processes as {OTHER.pw_name!r}")


@pytest.mark.parametrize(("parking", "is_refused"), [(None, True), ("embedded", True), ("sqlite:////x/y", False)])
def test_another_user_cannot_reach_the_embedded_store(tmp_path: Path, parking: str | None, is_refused: bool) -> None:
    settings = {} if parking is None else {"parking": parking}
    document = validated(tmp_path, {"user": OTHER.pw_name}, **settings).document
    assert document is not None
    found = [each.sentence for each in unreachable_store_problems(document, OTHER.pw_uid + 1)]
    assert bool(found) == is_refused
    assert list(unreachable_store_problems(document, OTHER.pw_uid)) == []
