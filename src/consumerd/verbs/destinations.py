"""`consumerd destinations`: what the tasks of consumers need, and whether it answers; open and close one by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import click
import msgspec
from msgspec import Meta

from consumerd import clock, events
from consumerd.cli.lines import printable, table
from consumerd.cli.options import json_option, state_dir_option
from consumerd.config.amounts import duration
from consumerd.errors import ConsumerdError, UsageError
from consumerd.model.limits import SECOND_NS
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.control import call
from consumerd.wire.destination_rows import Seen, changing, seen
from consumerd.wire.destinations import State
from consumerd.wire.method import Method, parameter, read_answer

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls

HEADINGS = ("DESTINATION", "CONSUMER", "STATE", "FOR", "FAILED", "WAITING", "NEXT PROBE", "ERROR")
LONGEST_ERROR = 80

Destination = Annotated[str, parameter("The destination, as consumerd destinations shows it.", "NAME")]
Consumers = Annotated[str | None, parameter("Of these consumers alone: a group, or group/name.", "TARGET")]


class DestinationStatus(msgspec.Struct, frozen=True):
    """One destination of one consumer."""

    name: str
    consumer: str
    state: Annotated[str, Meta(description="closed, open, returning or held.")]
    since: Annotated[
        float | None, Meta(description="Since when it is in this state, wall time; null where it is closed.")
    ]
    failures: Annotated[int, Meta(description="So many of `attempts` had failed when it opened last; all: in a row.")]
    attempts: int
    waiting: Annotated[int, Meta(description="Tasks that wait in the hands of workers.")]
    is_probed: Annotated[bool, Meta(description="A probe is on its way.")]
    next_probe_s: Annotated[float | None, Meta(description="Seconds until the next probe; null where none is to come.")]
    error: Annotated[str, Meta(description="Of the last attempt before it opened; empty where it is closed.")] = ""


class ShowDestinations(Method, frozen=True):
    """What the tasks of consumers need, and whether it answers."""

    name, result = "destinations", list[DestinationStatus]
    target: Consumers = None

    async def answer(self, master: Controls, by: str) -> list[DestinationStatus]:
        opened_by = {pool.consumer: pool.opened_by for pool in master.pools}
        found = _found(master, self.target)
        return [status_of(consumer, each, opened_by[consumer].get(each.name, "")) for consumer, each in found]


class OpenDestination(Method, frozen=True):
    """Keep a destination open until it is closed by hand."""

    name, is_act, result = "destinations-open", True, list[str]
    destination: Destination
    target: Consumers = None

    async def answer(self, master: Controls, by: str) -> list[str]:
        return _act(master, self, State.HELD, by)


class CloseDestination(Method, frozen=True):
    """Let the tasks of a destination begin again, at a rate that grows."""

    name, is_act, result = "destinations-close", True, list[str]
    destination: Destination
    target: Consumers = None

    async def answer(self, master: Controls, by: str) -> list[str]:
        return _act(master, self, State.RETURNING, by)


def _act(master: Controls, asked: OpenDestination | CloseDestination, state: State, by: str) -> list[str]:
    """Bring a destination into this state, for all consumers that know it; which they are."""
    known = list(_found(master, asked.target))
    found = [(consumer, each) for consumer, each in known if each.name == asked.destination]
    if not found:
        names = ", ".join(sorted({each.name for _, each in known}))
        sentence = f"it knows {names}" if names else "no task has named one yet"
        raise UsageError(f"the master knows no destination {asked.destination!r}: {sentence}")
    now = clock.monotonic()
    for consumer, each in found:
        with changing(master.table, each.row) as changed:
            if changed is None:
                raise ConsumerdError(f"{each.name} of {consumer} is being changed by others: try again")
            destination, _ = changed
            was_away = destination.state.is_away
            change = destination.hold if state is State.HELD else destination.release
            change(int(now * SECOND_NS))
        fields = {"consumer": consumer, "destination": each.name}
        if destination.state.is_away and not was_away:
            why = f"opened by {by}"
            master.emit(
                events.destination_opened(
                    failures=destination.failures, attempts=destination.attempts, error=why, **fields
                )
            )
        elif was_away and not destination.state.is_away:
            master.emit(events.destination_closed(away_s=round(now - destination.since_ns / SECOND_NS, 3), **fields))
    return [consumer for consumer, _ in found]


def _found(master: Controls, target: str | None) -> Iterator[tuple[str, Seen]]:
    for pool in master.meant(*([] if target is None else [target])):
        for each in seen(master.table, pool.consumer):
            yield pool.consumer, each


def status_of(consumer: str, each: Seen, error: object) -> DestinationStatus:
    """How it is now. error: of the last attempt before it opened."""
    now = clock.monotonic()
    state, now_ns = each.state, int(now * SECOND_NS)
    shown = state.shown(now_ns)
    is_closed = shown is State.CLOSED
    return DestinationStatus(
        name=each.name,
        consumer=consumer,
        state=shown.name.lower(),
        since=None if is_closed else round(clock.wall() - (now - state.changed_ns / SECOND_NS), 3),
        failures=state.failures,
        attempts=state.attempts,
        waiting=each.waiting,
        is_probed=each.is_probed,
        next_probe_s=max(0.0, round((state.next_ns - now_ns) / SECOND_NS, 3)) if state.state is State.OPEN else None,
        error="" if is_closed else str(error),
    )


# The command


@click.command("destinations")
@click.argument("words", nargs=-1, metavar="[TARGET | open NAME | close NAME]")
@click.option("--target", metavar="TARGET", help="With open and close: of these consumers alone.")
@state_dir_option
@json_option
def command(words: Sequence[str], target: str | None, state_dir: StateDirectory, as_json: bool) -> None:
    """Show what tasks need, such as game servers, and whether it answers.

    FOR is how long it has been in its STATE; FAILED, how many attempts had failed when it opened; WAITING, how many
    tasks wait in the hands of workers.

    `open NAME` lets the tasks of a destination wait, without probes, until `close NAME`, or until the master is
    restarted; `close NAME` lets them begin again, also where nothing has shown that it is back.
    """
    method = _asked(list(words), target)
    plain = call(state_dir.control_socket, method.name, method.parameters())
    if as_json:
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
    elif isinstance(method, ShowDestinations):
        for line in _shown(read_answer(plain, list[DestinationStatus], method.name)):
            click.echo(line)
    else:
        wait = f"its tasks wait until consumerd destinations close {method.destination}"
        then = wait if isinstance(method, OpenDestination) else "its tasks begin again"
        for consumer in read_answer(plain, list[str], method.name):
            click.echo(printable(f"{method.destination} of {consumer}: {then}"))


def _asked(words: list[str], target: str | None) -> ShowDestinations | OpenDestination | CloseDestination:
    match words:
        case []:
            return ShowDestinations(target)
        case ["open", name]:
            return OpenDestination(name, target)
        case ["close", name]:
            return CloseDestination(name, target)
        case [only] if only not in ("open", "close") and target is None:
            return ShowDestinations(only)
    raise UsageError(f"'{' '.join(words)}' is not understood: write a TARGET, `open NAME`, `close NAME`, or nothing")


def _shown(found: Sequence[DestinationStatus]) -> list[str]:
    if not found:
        return ["no task has named a destination yet"]
    rows = [_row(each) for each in sorted(found, key=lambda each: (each.state == "closed", each.name, each.consumer))]
    return table(HEADINGS, rows)


def _row(each: DestinationStatus) -> Sequence[str]:
    since = "-" if each.since is None else duration(clock.wall() - each.since)
    failed = f"{each.failures} of {each.attempts}" if each.since is not None and each.attempts else "-"
    probe = "now" if each.is_probed else "-" if each.next_probe_s is None else f"in {duration(each.next_probe_s)}"
    error = printable(each.error.partition("\n")[0][:LONGEST_ERROR])
    return (printable(each.name), each.consumer, each.state, since, failed, str(each.waiting), probe, error)
