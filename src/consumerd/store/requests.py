"""Requests of people on parked tasks: what they ask for, checked, and what they are answered. Runs in the helper.

list     target?, state?, limit?                    one item a row, newest failure first
show     reference, target?                         one item, its contents as bytes
retry    references? | all, target?, state?         {consumer, tasks} for each consumer concerned
discard  the same
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TypeVar

from consumerd.errors import UsageError
from consumerd.model.parked import ParkedState
from consumerd.store.browsing import SHORTEST_HANDLE, is_too_short
from consumerd.store.parking import ParkedFilter, ParkingStore

ValueT = TypeVar("ValueT")

PAGE_ROWS = 100

Item = dict[str, object]

_PARAMETERS: Mapping[str, Mapping[str, type]] = {
    "list": {"target": str, "state": str, "limit": int},
    "show": {"reference": str, "target": str},
    "retry": {"references": list, "all": bool, "target": str, "state": str},
    "discard": {"references": list, "all": bool, "target": str, "state": str},
}


def answer(store: ParkingStore, verb: str, arguments: Mapping[str, object]) -> Iterator[tuple[Item, ...]]:
    """The pages of one answer, each read when it is asked for. UsageError, StoreAwayError."""
    _check(verb, arguments)
    match verb:
        case "list":
            yield from _list(store, arguments)
        case "show":
            yield (_show(store, arguments),)
        case _:
            yield _change(store, verb, arguments)


def _check(verb: str, arguments: Mapping[str, object]) -> None:
    parameters = _PARAMETERS.get(verb)
    if parameters is None:
        raise UsageError(f"parked has no verb {verb!r}: use one of {', '.join(_PARAMETERS)}")
    for name, value in arguments.items():
        if name not in parameters:
            raise UsageError(f"parked {verb} has no parameter {name!r}: known are {', '.join(parameters)}")
        if value is not None and type(value) is not parameters[name]:
            raise UsageError(f"parked {verb}: {name} must be of type {parameters[name].__name__}")


def _list(store: ParkingStore, arguments: Mapping[str, object]) -> Iterator[tuple[Item, ...]]:
    chosen, left = _filter(arguments), _given(arguments, "limit", int)
    after: str | None = None
    while left is None or left > 0:
        page = store.list(chosen, limit=PAGE_ROWS if left is None else min(left, PAGE_ROWS), after=after)
        yield tuple(asdict(row) | {"state": row.state.value} for row in page.rows)
        after = page.after
        if after is None:
            return
        left = None if left is None else left - len(page.rows)


def _show(store: ParkingStore, arguments: Mapping[str, object]) -> Item:
    reference = _given(arguments, "reference", str)
    if not reference:
        raise UsageError("parked show needs a handle or a task id: see consumerd parked list")
    found = store.find(reference, _given(arguments, "target", str))
    _check_one(reference, len(found))
    task = found[0].task
    headers = [[name, value] for name, value in task.headers]
    return asdict(task) | {"handle": found[0].handle, "state": task.state.value, "headers": headers}


def _change(store: ParkingStore, verb: str, arguments: Mapping[str, object]) -> tuple[Item, ...]:
    chosen, references = _filter(arguments), _given(arguments, "references", list) or []
    if bool(references) == bool(_given(arguments, "all", bool)):
        raise UsageError(f"parked {verb} needs either handles or --all, which TARGET and --state narrow down")
    keys: list[str] | None = None
    if references:
        keys = [_key(store, str(reference), chosen.target) for reference in references]
    changed = store.retry(chosen, keys) if verb == "retry" else store.discard(chosen, keys)
    if references and not changed:
        raise UsageError(f"{references[0]!r} is a suspect: its source still has it, and there it is decided")
    return tuple({"consumer": consumer, "tasks": tasks} for consumer, tasks in sorted(changed.items()))


def _key(store: ParkingStore, reference: str, target: str | None) -> str:
    keys = store.keys_of(reference, target)
    _check_one(reference, len(keys))
    return keys[0]


def _check_one(reference: str, found: int) -> None:
    if found == 0 and is_too_short(reference):
        raise UsageError(f"{reference!r} is too short: write at least {SHORTEST_HANDLE} characters")
    if found == 0:
        raise UsageError(f"nothing is parked under {reference!r}: see consumerd parked list")
    if found > 1:
        raise UsageError(f"{reference!r} means several parked tasks: write more of the handle, or name its --target")


def _filter(arguments: Mapping[str, object]) -> ParkedFilter:
    state = _given(arguments, "state", str)
    if state is not None and state not in tuple(ParkedState):
        raise UsageError(f"no task is parked as {state!r}: use one of {', '.join(ParkedState)}")
    return ParkedFilter(_given(arguments, "target", str), None if state is None else ParkedState(state))


def _given(arguments: Mapping[str, object], name: str, kind: type[ValueT]) -> ValueT | None:
    value = arguments.get(name)
    return value if isinstance(value, kind) else None
