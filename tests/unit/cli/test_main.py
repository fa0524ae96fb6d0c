"""The command: what comes out of a verb becomes one sentence and an exit code."""

from collections.abc import Callable

import click
import pytest

from consumerd.cli.main import main
from consumerd.cli.options import json_option, state_dir_option
from consumerd.cli.verbs import VERBS
from consumerd.errors import ConfigurationError, ConsumerdError, LoadError, NotRunningError
from consumerd.state.state_dir import StateDirectory
from consumerd.version import __version__


def verb(action: Callable[[], object]) -> click.Command:
    @click.command()
    def command() -> object:
        return action()

    return command


def raising(error: BaseException) -> click.Command:
    def action() -> None:
        raise error

    return verb(action)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"consumerd {__version__}\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_verb(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert main([flag]) == 0
    out = capsys.readouterr().out
    assert [name for name in VERBS if f"\n  {name} " not in out] == []


@pytest.mark.parametrize("arguments", [["chekc"], ["--nonsense"], ["check"], ["check", "a", "b"]])
def test_a_wrong_use_is_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error:" in captured.err


@pytest.mark.parametrize(
    ("verb_name", "fix"), [("statu", "; did you mean 'status'?"), ("explode", ": see consumerd --help")]
)
def test_a_verb_that_is_not_there_brings_one_that_is_to_mind(
    capsys: pytest.CaptureFixture[str], verb_name: str, fix: str
) -> None:
    assert main([verb_name]) == 2
    assert capsys.readouterr().err.endswith(f"Error: there is no verb '{verb_name}'{fix}\n")


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(ConsumerdError("it broke"), 1), (NotRunningError("it broke"), 1), (LoadError("it broke"), 11)],
)
def test_an_error_of_ours_is_one_sentence_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], error: ConsumerdError, exit_code: int
) -> None:
    assert main([], raising(error)) == exit_code
    assert capsys.readouterr().err == "consumerd: it broke\n"


def test_an_error_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    main([], command=raising(ConsumerdError("\x1b]0;PWNED\x07")))
    assert capsys.readouterr().err == "consumerd: \\x1b]0;PWNED\\x07\n"


def test_each_mistake_of_a_configuration_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], raising(ConfigurationError(("f: a: one", "f: b: two")))) == 2
    assert capsys.readouterr().err == "consumerd: f: a: one\nconsumerd: f: b: two\n"


def test_an_interrupt_is_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], raising(KeyboardInterrupt())) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_of_ours_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], raising(ZeroDivisionError("by nought"))) == 70
    err = capsys.readouterr().err
    assert err.startswith("consumerd: internal error")
    assert "ZeroDivisionError: by nought" in err


@pytest.mark.parametrize(("returned", "exit_code"), [(None, 0), (0, 0), (1, 1), (2, 2)])
def test_a_verb_returns_its_exit_code(returned: object, exit_code: int) -> None:
    assert main([], verb(lambda: returned)) == exit_code


def test_shared_options_give_a_located_directory_and_a_flag(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    @state_dir_option
    @json_option
    def command(state_dir: StateDirectory, as_json: bool) -> None:
        click.echo(f"{state_dir.path} {as_json}")

    monkeypatch.setenv("CONSUMERD_STATE_DIR", "/from/environment")
    main([], command)
    main(["--state-dir", "/from/option", "--json"], command)
    assert capsys.readouterr().out == "/from/environment False\n/from/option True\n"


def test_a_state_directory_that_cannot_be_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    @state_dir_option
    def command(state_dir: StateDirectory) -> None:
        raise AssertionError(state_dir)

    assert main(["--state-dir", "/" + "x" * 200], command) == 2
    assert "--state-dir" in capsys.readouterr().err
