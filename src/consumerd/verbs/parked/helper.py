"""What the parking store answers people. The store helper, `python -m consumerd.verbs.parked.helper FD`, and `parked`.

The master executes the helper, and leaves it alone while people look at tasks; where no master runs, `consumerd parked`
asks the store itself. References to secrets are resolved in the environment of the process that asks it.
"""

from __future__ import annotations

import base64
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec
import orjson

from consumerd.clock import iso, wall
from consumerd.config.redaction import Redactor
from consumerd.config.shape import Settings
from consumerd.errors import ConsumerdError, UsageError
from consumerd.model.failure import refusal
from consumerd.model.identity import ConsumerName
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.parking.opening import open_store, resolve_parking
from consumerd.parking.people.browsing import SHORTEST_HANDLE, Item, ParkedFilter, is_too_short
from consumerd.parking.people.deciding import Changed
from consumerd.parking.people.json_path import Where
from consumerd.parking.records import handle_of, key_of
from consumerd.parking.store import ParkingStore
from consumerd.state.state_dir import StateDirectory
from consumerd.verbs.parked.methods import (
    MOST_COUNTED,
    Narrowed,
    ParkedChange,
    ParkedDiscard,
    ParkedEdit,
    ParkedErrors,
    ParkedFind,
    ParkedList,
    ParkedMethod,
    ParkedRetry,
    ParkedShow,
)
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import first_message, inherited_channel
from consumerd.wire.messages import MAKE_RUNS, Serve, StoreRequest, StoreResult

SEND_TIMEOUT_S = 60.0

Page = tuple[Item, ...]

_KINDS = (ParkedList, ParkedErrors, ParkedShow, ParkedFind, ParkedRetry, ParkedDiscard, ParkedEdit)
_METHODS = {kind.name: kind for kind in _KINDS}


class MisuseError(UsageError):
    """What somebody wrote can mean nothing, whatever is parked."""


class ParkedTasks:
    """The parking store of a configuration, as people ask it. It is opened at the first request."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._store: ParkingStore | None = None
        self._redactor = Redactor()

    def pages(self, request: StoreRequest) -> Iterator[Page]:
        """The answer, each page read when it is asked for. ConsumerdError with one sentence, without secrets."""
        try:
            if request.method == MAKE_RUNS:
                self._opened().make_runs(request.consumers or ())
                return
            asked = msgspec.convert(request.parameters, _METHODS[request.method])
            if isinstance(asked, ParkedEdit):
                yield (edit(self._opened(), asked, StateDirectory(Path(self._serve.state_dir)).edited_log),)
            else:
                yield from answer(self._opened(), asked, request.consumers)
        except MisuseError:
            raise
        except Exception as error:  # around one request: the others are to be answered
            told = f"the request failed with {type(error).__name__}: {error}"
            sentence = str(error) if isinstance(error, ConsumerdError) else told
            raise ConsumerdError(self._redactor.redact(sentence)) from error

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def _opened(self) -> ParkingStore:
        if self._store is None:
            parking = Settings.model_validate_json(self._serve.settings).parking
            resolved, self._redactor = resolve_parking(parking, os.environ, Path(self._serve.directory))
            self._store = open_store(resolved, Path(self._serve.state_dir))
        return self._store


def answer(store: ParkingStore, asked: ParkedMethod, consumers: tuple[str, ...] | None = None) -> Iterator[Page]:
    """The pages of one answer. UsageError, StoreAwayError.

    consumers: those of whoever asks, None where nobody knows them. A retry or discard reaches the tasks of others by
    their full name alone; what `all` left of them is told with `is_left`. A change of all goes through the store in
    steps, each with its own items `{consumer, tasks, is_left}`: those of a consumer are added up. MisuseError where
    nothing was found, and the target is no consumer's either.
    """
    is_empty = True
    for page in _pages(store, asked, consumers):
        is_empty = is_empty and not page
        yield page
    target = asked.target if isinstance(asked, Narrowed) and is_empty else None
    if target is not None and consumers and not _matching(target, consumers):
        be = "is" if len(consumers) == 1 else "are"
        raise MisuseError(f"there is no consumer or group {target!r}: there {be} {', '.join(consumers)}")


def _pages(store: ParkingStore, asked: ParkedMethod, consumers: tuple[str, ...] | None) -> Iterator[Page]:
    match asked:
        case ParkedList():
            yield from store.list(_chosen(asked), limit=asked.limit)
        case ParkedErrors():
            yield store.by_error(_chosen(asked), most=MOST_COUNTED)
        case ParkedShow():
            yield (_whole(_one(store, asked)),)
        case ParkedFind():
            found = [task for task_id in asked.ids for task in store.find(task_id, asked.target)]
            yield tuple(_whole(task) for task in found if task.task_id in asked.ids)
        case ParkedChange():
            yield from _change(store, asked, consumers)


def _matching(target: str, consumers: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in consumers if ConsumerName.parse(name).matches(target))


def _one(store: ParkingStore, asked: ParkedShow | ParkedEdit) -> ParkedTask:
    found = store.find(asked.reference, asked.target)
    _check_one(asked.reference, len(found))
    return found[0]


def _whole(task: ParkedTask) -> Item:
    handle = handle_of(key_of(task.consumer, task.task_id))
    headers = [[name, value] for name, value in task.headers]
    return asdict(task) | {"handle": handle, "state": task.state.value, "headers": headers}


def edit(store: ParkingStore, asked: ParkedEdit, log: Path) -> Item:
    """Give a task another record, and keep what it was in the log, a JSON object a line. UsageError, StoreAwayError."""
    task = _one(store, asked)
    item: Item = {"consumer": task.consumer, "handle": handle_of(key_of(task.consumer, task.task_id))}
    if task.state is ParkedState.SUSPECT:
        raise UsageError(f"{asked.reference!r} is a suspect: its source still has it, and its record with it")
    payload = _checked(asked.record, task.consumer)
    if not asked.dry_run and not store.edit(task, payload, partial(_keep, log)):
        raise UsageError(f"a worker has {asked.reference!r} at this moment: see what becomes of it, and ask again")
    return item


def _checked(record: str | None, consumer: str) -> bytes:
    """A record as its payload. MisuseError where there is none, or none that the consumer could read."""
    if record is None:
        raise MisuseError("there is no new record: write it with --record")
    try:
        orjson.loads(record)
    except ValueError as error:
        raise MisuseError(f"the new record is not JSON, which {consumer} reads: {error}") from error
    return record.encode()


def _keep(log: Path, task: ParkedTask) -> None:
    """Note a task's record as it was. ConsumerdError where that cannot be written: then nothing is changed either."""
    known = {"at": iso(wall()), "consumer": task.consumer, "task": task.task_id, "state": task.state.value}
    line = json.dumps(known | {"payload_base64": base64.b64encode(task.payload).decode()}).encode() + b"\n"
    try:
        descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConsumerdError(f"what the record was cannot be kept in {log}, so it stays: {refusal(error)}") from error


def _change(store: ParkingStore, asked: ParkedChange, consumers: tuple[str, ...] | None) -> Iterator[Page]:
    """A page for each step, also where it changed nothing: whoever waits sees that it goes on."""
    every, references = _chosen(asked), asked.references
    if bool(references) == asked.all:
        raise UsageError(f"{asked.name} needs either references, or all, which target and the like narrow down")
    chosen = _owned(every, consumers)
    keys = [_key(store, reference, chosen) for reference in references] if references else None
    for changed in _changing(store, asked)(chosen, keys):
        if references and not changed:
            raise UsageError(f"{references[0]!r} is a suspect: its source still has it, and there it is decided")
        yield _items(changed, is_left=False)
    if not references and chosen != every:
        own = chosen.consumers or ()
        for found in store.count(every):
            yield _items({name: tasks for name, tasks in found.items() if name not in own}, is_left=True)


def _changing(store: ParkingStore, asked: ParkedChange) -> Callable[..., Iterator[Changed]]:
    if asked.dry_run:
        return store.count
    if not isinstance(asked, ParkedRetry):
        return store.discard
    if asked.rate is not None and not 0 < asked.rate < math.inf:
        raise MisuseError(f"nothing can be retried at a rate of {asked.rate:g} a second: write 50/s or 600/min")
    return partial(store.retry, rate=asked.rate)


def _items(changed: Mapping[str, int], *, is_left: bool) -> Page:
    """is_left: the tasks are left as they are, of consumers that are not those of whoever asks."""
    return tuple(
        {"consumer": consumer, "tasks": tasks, "is_left": is_left} for consumer, tasks in sorted(changed.items())
    )


def _chosen(asked: Narrowed) -> ParkedFilter:
    if asked.state is not None and asked.state not in tuple(ParkedState):
        raise UsageError(f"no task is parked as {asked.state!r}: use one of {', '.join(ParkedState)}")
    state = None if asked.state is None else ParkedState(asked.state)
    narrowing = asked.error, asked.text, asked.since, asked.until, _where(asked.where)
    return ParkedFilter(asked.target, state, None, *narrowing)


def _where(written: str | None) -> Where | None:
    try:
        return None if written is None else Where.parse(written)
    except UsageError as error:
        raise MisuseError(str(error)) from error


def _owned(chosen: ParkedFilter, own: tuple[str, ...] | None) -> ParkedFilter:
    """The filter, confined to the consumers of whoever asks; but a full name, or a group of others, means what it says.

    own: None where nobody knows who they are.
    """
    if own is None or (chosen.target is not None and "/" in chosen.target):
        return chosen
    meant = own if chosen.target is None else _matching(chosen.target, own)
    return replace(chosen, consumers=meant) if meant or chosen.target is None else chosen


def _key(store: ParkingStore, reference: str, chosen: ParkedFilter) -> str:
    keys = store.keys_of(reference, ParkedFilter(chosen.target, consumers=chosen.consumers))
    if not keys and chosen.consumers is not None and (others := store.find(reference, chosen.target)):
        other = others[0].consumer
        raise UsageError(f"{reference!r} is a task of {other}, which is not run here: add --target {other}")
    _check_one(reference, len(keys))
    return keys[0]


def _check_one(reference: str, found: int) -> None:
    if found == 0 and is_too_short(reference):
        raise MisuseError(f"{reference!r} is too short: write at least {SHORTEST_HANDLE} characters")
    if found == 0:
        raise UsageError(f"nothing is parked under {reference!r}: see consumerd parked list")
    if found > 1:
        raise UsageError(f"{reference!r} means several parked tasks: write more of the handle, or name its --target")


def main(arguments: list[str]) -> int:
    """The top of the helper. It leaves when whoever asked is gone, and not by a terminal's Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with closing(inherited_channel(arguments)) as channel:
            serve, _ = first_message(channel, Serve)
            with closing(ParkedTasks(serve)) as tasks:
                _serve(channel, tasks)
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        return 0  # whoever asked has left
    except ConsumerdError as error:
        sys.stderr.write(f"consumerd: {error}\n")
        return error.exit_code


def _serve(channel: Channel, tasks: ParkedTasks) -> NoReturn:
    """Answer requests, one after the other; ConnectionResetError at the end of the channel."""
    while True:
        request, _ = first_message(channel, StoreRequest)
        try:
            for page in tasks.pages(request):
                channel.send(StoreResult(page, is_last=False), timeout_s=SEND_TIMEOUT_S)
            result = StoreResult()
        except ConsumerdError as error:
            result = StoreResult(failed=str(error), is_misuse=isinstance(error, UsageError))
        channel.send(result, timeout_s=SEND_TIMEOUT_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
