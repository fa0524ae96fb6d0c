"""Requests of people on parked tasks: what they ask for, checked, and what they are answered. Runs in the helper.

list     limit?, and what narrows it down           one item a row, newest failure first
show     reference, target?                         one item, its contents as bytes
retry    references | all, dry_run?, and the same   {consumer, tasks, is_left} for each consumer concerned
discard  the same

A retry or discard of all goes through the store in steps, each with its own items: those of a consumer are added up.
target, state, error, text, since and until narrow down: see `ParkedFilter`. consumers: those of whoever asks. A retry
or discard reaches the tasks of others by their full name alone; what `all` left of them is told with `is_left`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace

import msgspec

from consumerd.errors import UsageError
from consumerd.model.identity import ConsumerName
from consumerd.model.parked import ParkedState
from consumerd.parking.browsing import SHORTEST_HANDLE, ParkedFilter, is_too_short
from consumerd.parking.records import handle_of, key_of
from consumerd.parking.store import ParkingStore

PAGE_ROWS = 100

Item = dict[str, object]


class TooShortError(UsageError):
    """Somebody wrote too little of a handle."""


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request says; what it does not need of this is as by default."""

    limit: int | None = None
    reference: str = ""
    references: tuple[str, ...] = ()
    all: bool = False
    dry_run: bool = False
    consumers: tuple[str, ...] | None = None
    target: str | None = None
    state: str | None = None
    error: str | None = None
    text: str | None = None
    since: float | None = None
    until: float | None = None

    def chosen(self) -> ParkedFilter:
        """What narrows it down."""
        if self.state is not None and self.state not in tuple(ParkedState):
            raise UsageError(f"no task is parked as {self.state!r}: use one of {', '.join(ParkedState)}")
        state = None if self.state is None else ParkedState(self.state)
        return ParkedFilter(self.target, state, None, self.error, self.text, self.since, self.until)


def answer(store: ParkingStore, verb: str, arguments: Mapping[str, object]) -> Iterator[tuple[Item, ...]]:
    """The pages of one answer, each read when it is asked for. UsageError, StoreAwayError."""
    try:
        asked = msgspec.convert(arguments, _Asked)
    except msgspec.ValidationError as error:
        raise UsageError(f"parked {verb} is asked for wrongly: {error}") from error
    match verb:
        case "list":
            yield from _list(store, asked)
        case "show":
            yield (_show(store, asked),)
        case "retry" | "discard":
            yield from _change(store, verb, asked)
        case _:
            raise UsageError(f"parked has no verb {verb!r}: use list, show, retry or discard")


def _list(store: ParkingStore, asked: _Asked) -> Iterator[tuple[Item, ...]]:
    chosen, left = asked.chosen(), asked.limit
    after: str | None = None
    while left is None or left > 0:
        page = store.list(chosen, limit=PAGE_ROWS if left is None else min(left, PAGE_ROWS), after=after)
        yield tuple(asdict(row) | {"state": row.state.value} for row in page.rows)
        after = page.after
        if after is None:
            return
        left = None if left is None else left - len(page.rows)


def _show(store: ParkingStore, asked: _Asked) -> Item:
    if not asked.reference:
        raise UsageError("parked show needs a handle or a task id: see consumerd parked list")
    found = store.find(asked.reference, asked.target)
    _check_one(asked.reference, len(found))
    task = found[0]
    handle = handle_of(key_of(task.consumer, task.task_id))
    headers = [[name, value] for name, value in task.headers]
    return asdict(task) | {"handle": handle, "state": task.state.value, "headers": headers}


def _change(store: ParkingStore, verb: str, asked: _Asked) -> Iterator[tuple[Item, ...]]:
    """A page for each step, also where it changed nothing: whoever waits sees that it goes on."""
    every, references = asked.chosen(), asked.references
    if bool(references) == asked.all:
        raise UsageError(f"parked {verb} needs either handles or --all, which --target and the like narrow down")
    chosen = _owned(every, asked.consumers)
    keys = [_key(store, reference, chosen) for reference in references] if references else None
    act = store.count if asked.dry_run else store.retry if verb == "retry" else store.discard
    for changed in act(chosen, keys):
        if references and not changed:
            raise UsageError(f"{references[0]!r} is a suspect: its source still has it, and there it is decided")
        yield _items(changed, is_left=False)
    if not references and chosen != every:
        own = chosen.consumers or ()
        for found in store.count(every):
            yield _items({name: tasks for name, tasks in found.items() if name not in own}, is_left=True)


def _items(changed: Mapping[str, int], *, is_left: bool) -> tuple[Item, ...]:
    """is_left: the tasks are left as they are, of consumers that are not those of whoever asks."""
    return tuple(
        {"consumer": consumer, "tasks": tasks, "is_left": is_left} for consumer, tasks in sorted(changed.items())
    )


def _owned(chosen: ParkedFilter, own: tuple[str, ...] | None) -> ParkedFilter:
    """The filter, confined to the consumers of whoever asks; but a full name, or a group of others, means what it says.

    own: None where nobody knows who they are.
    """
    if own is None or (chosen.target is not None and "/" in chosen.target):
        return chosen
    meant = [name for name in own if chosen.target is None or ConsumerName.parse(name).matches(chosen.target)]
    return replace(chosen, consumers=tuple(meant)) if meant or chosen.target is None else chosen


def _key(store: ParkingStore, reference: str, chosen: ParkedFilter) -> str:
    keys = store.keys_of(reference, ParkedFilter(chosen.target, consumers=chosen.consumers))
    if not keys and chosen.consumers is not None and (others := store.find(reference, chosen.target)):
        other = others[0].consumer
        raise UsageError(f"{reference!r} is a task of {other}, which is not run here: add --target {other}")
    _check_one(reference, len(keys))
    return keys[0]


def _check_one(reference: str, found: int) -> None:
    if found == 0 and is_too_short(reference):
        raise TooShortError(f"{reference!r} is too short: write at least {SHORTEST_HANDLE} characters")
    if found == 0:
        raise UsageError(f"nothing is parked under {reference!r}: see consumerd parked list")
    if found > 1:
        raise UsageError(f"{reference!r} means several parked tasks: write more of the handle, or name its --target")
