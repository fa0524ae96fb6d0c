"""What a verb that asks the master one thing is made of: the command of a `Method`, and what its answer shows.

Imports nothing heavy: neither the master, nor pydantic, nor SQL.
"""

from __future__ import annotations

import inspect
import json
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from types import MappingProxyType
from typing import Annotated, Any

import click
import msgspec
from msgspec import Meta

from consumerd.cli.lines import printable_lines
from consumerd.cli.options import Decorator, json_option, state_dir_option
from consumerd.clock import SYSTEM_CLOCK
from consumerd.errors import ConsumerdError
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.control import call
from consumerd.wire.method import Method, parameter, read_answer
from consumerd.wire.status import PoolStatus, ask_status

Target = Annotated[str, parameter("A group, or group/name.", "TARGET")]

LOOK_EVERY_S = 0.2
UP = frozenset({"running", "stalled", "finished"})


class Verb(Method, frozen=True):
    """A method that is a verb: its name is the verb's, its docstring the help.

    A field that is False by default is a flag, one that is None an option, any other an argument; its description is
    the help: see `parameter`.
    """

    def lines(self, answer: Any) -> Iterable[str]:  # of the type `result`
        """What people read of the answer."""
        raise NotImplementedError

    def question(self) -> str:
        """What a person at a terminal has to agree to first, for a verb with a flag `yes`; mostly nothing."""
        return ""

    def awaited(self, answer: Any) -> Iterable[str]:  # of the type `result`
        """The pools that `--wait` waits for; a verb that does not say it has no `--wait`."""
        raise NotImplementedError


class PoolNames(msgspec.Struct, frozen=True):
    """The answer of a verb that has acted on pools: their full names."""

    pools: list[str]


def command_of(kind: type[Verb]) -> click.Command:
    """The command of a verb: it asks, and shows the answer as JSON or in lines."""

    @click.command(kind.name, help=inspect.getdoc(kind))
    @parameters(kind)
    @state_dir_option
    @json_option
    def command(state_dir: StateDirectory, as_json: bool, is_waiting: bool = False, **given: Any) -> None:  # as read
        verb = _agreed(kind(**given))
        plain = call(state_dir.control_socket, kind.name, verb.parameters(), timeout_s=kind.timeout_s)
        answer = read_answer(plain, kind.result, kind.name)
        for line in [json.dumps(plain)] if as_json else map(printable_lines, verb.lines(answer)):
            click.echo(line)
        if is_waiting:
            wait_for(state_dir, verb.awaited(answer), tell=(lambda line: None) if as_json else click.echo)

    if kind.awaited is not Verb.awaited:
        command.params.append(_WAIT)
    return command


def _agreed(verb: Verb) -> Verb:
    """As somebody at the terminal has agreed to it; elsewhere the master says what it needs."""
    question = verb.question()
    if not question or sys.stdin is None or not sys.stdin.isatty():
        return verb
    if not click.confirm(question, err=True):
        click.echo("nothing was changed")
        raise click.exceptions.Exit(1)
    return msgspec.structs.replace(verb, yes=True)


_WAIT = click.Option(
    ["--wait", "is_waiting"], is_flag=True, help="Return when every slot runs it; exit 1 if it was taken back."
)


def parameters(kind: type[Method], types: Mapping[str, click.ParamType[Any]] = MappingProxyType({})) -> Decorator:
    """The arguments and options of a method's fields, for a command. types: of those that are no plain texts."""
    found = [_parameter(field, types.get(field.name)) for field in msgspec.structs.fields(kind)]
    return lambda function: reduce(lambda made, parameter: parameter(made), reversed(found), function)


def _parameter(field: msgspec.structs.FieldInfo, kind: click.ParamType[Any] | None) -> Decorator:
    (described,) = [each for each in typing.get_args(field.type) if isinstance(each, Meta)]
    more = described.extra or {}
    metavar, flag = more.get("metavar"), f"--{field.name.replace('_', '-')}"
    if field.default is False:
        return click.option(flag, is_flag=True, help=described.description)
    if field.default is None:
        return click.option(flag, type=kind, metavar=metavar, help=described.description)
    if field.default == ():
        return click.argument(field.name, nargs=-1, metavar=metavar)
    read: Callable[[str], object] = more.get("read", str)
    return click.argument(field.name, metavar=metavar, callback=lambda ctx, parameter, text: read(text))


def wait_for(state_dir: StateDirectory, names: Iterable[str], *, tell: Callable[[str], object]) -> None:
    """Until these pools run what they were just asked to, in every slot; told of each. ConsumerdError with a line for
    each that does not hold up, once the others have come to their ends.
    """
    pools = _pools(state_dir)
    asked = {name: pools[name].edition for name in names if name in pools}
    failures: dict[str, str] = {}
    while asked:
        for name, edition in tuple(asked.items()):
            failure = _failure(pools.get(name), edition)
            if failure:
                failures[name] = failure
            elif _is_done(pools.get(name), edition):
                tell(f"{name}: every worker runs it")
            else:
                continue
            del asked[name]
        if asked:
            SYSTEM_CLOCK.sleep(LOOK_EVERY_S)
            pools = _pools(state_dir)
    if failures:
        raise ConsumerdError("\n".join(failures.values()))


def _pools(state_dir: StateDirectory) -> dict[str, PoolStatus]:
    return {pool.name: pool for pool in ask_status(state_dir.control_socket).pools}


def _is_done(pool: PoolStatus | None, edition: int) -> bool:
    """Whether every slot has come to run this edition, or a later one; a pool that is gone has nobody to wait for."""
    if pool is None:
        return True
    are_new = all(worker.edition >= edition and worker.state in UP for worker in pool.workers)
    return pool.state == "up" and pool.established >= edition and are_new


def _failure(pool: PoolStatus | None, edition: int) -> str:
    """Why it will not come to that; or nothing yet."""
    if pool is None:
        return ""
    if pool.rejected >= edition:
        return f"{pool.name}: the change did not hold up and was taken back: {pool.reason}"
    if pool.state == "failed":
        return f"{pool.name} has failed: {pool.reason}"
    is_on_trial = pool.established < edition
    refused = next((worker for worker in pool.workers if worker.is_refused and not is_on_trial), None)
    why = "" if refused is None else f"worker {refused.slot} cannot be started: {refused.refused}"
    return why and f"{pool.name}: {why}; it is tried again"
