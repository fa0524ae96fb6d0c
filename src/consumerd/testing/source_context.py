"""What surrounds a source in a test: a worker, a parking store, the context of both."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

from consumerd.clock import SYSTEM_CLOCK, Clock
from consumerd.database.engine import KEY, open_engine
from consumerd.errors import SourceAwayError, StoreAwayError
from consumerd.model.division import Division
from consumerd.model.parked import DueTask, Entry, ParkedState, ParkedTask
from consumerd.model.shards import Shard
from consumerd.model.task import TaskId
from consumerd.sources.contract import SourceContext

ResultT = TypeVar("ResultT")


class NothingParked:
    """`ParkedIndex` of an empty store, to which a test may add."""

    def __init__(self) -> None:
        self.ids: set[TaskId] = set()
        self.division: Division = {}

    is_shared = False

    def divide(self, step: Callable[[Division, float], Division]) -> Division:
        self.division = step(self.division, 0.0)
        return self.division

    def is_slot_held(self, member: str) -> bool:
        del member
        return True

    def run(
        self, step: Callable[[Connection], ResultT], undo: Callable[[Connection, ResultT], object] | None = None
    ) -> ResultT:
        raise StoreAwayError("there is no store: give the source a consumerd.worker.tasks.parked_rows.StoreIndex")

    def entries_among(self, ids: Sequence[TaskId]) -> Mapping[TaskId, Entry]:
        return {task_id: Entry(ParkedState.DEAD, False, 1, 0.0, 0.0) for task_id in self.ids.intersection(ids)}

    def due(self, limit: int, after: DueTask | None = None) -> tuple[Sequence[DueTask], bool]:
        del limit, after
        return (), False

    def due_among(self, ids: Sequence[TaskId]) -> Sequence[ParkedTask]:
        del ids
        return ()

    def copy_of(self, task_id: TaskId) -> bytes:
        del task_id
        return b""

    def reopen(self, task_id: TaskId) -> None:
        self.ids.discard(task_id)

    def drop_copies(self) -> None:
        """There are none."""

    def forget(self, ids: Sequence[TaskId]) -> None:
        self.ids.difference_update(ids)

    def parked_from(self, source: str, shard: int, position: int) -> frozenset[TaskId]:
        del source, shard, position
        return frozenset(self.ids)


@dataclass
class StandInWorker:
    """The worker that a source in a test serves.

    clock: what it waits by; interrupts: how often the source wanted the loop to look up from its batch; is_stopping:
    whether the worker is to stop; has_successor: whether another process takes its place; reads_shard: whether the
    user's query divides the rows.
    """

    clock: Clock = SYSTEM_CLOCK
    interrupts: int = 0
    is_stopping: bool = False
    has_successor: bool = True
    reads_shard: bool = False
    shard: Shard = field(default_factory=Shard)

    def interrupt(self) -> None:
        self.interrupts += 1

    def wait(self, seconds: float, descriptor: int | None = None) -> None:
        if descriptor is None or not _is_readable(descriptor):
            self.clock.sleep(seconds)

    def attend(self, away: SourceAwayError | StoreAwayError | None) -> bool:
        del away
        return not self.is_stopping

    def go_on(self) -> bool:
        """Nothing is in hand but what the test has."""
        return False

    def note_store(self, away: StoreAwayError | None) -> None:
        """Nobody is told."""

    def is_replaced(self) -> bool:
        return self.has_successor

    def query(self, read: Callable[[], list[object]]) -> list[object]:
        return read()

    def user_reads_shard(self) -> bool:
        return self.reads_shard

    def call_hook(self, name: str, hook: Callable[[], Any], otherwise: Any) -> Any:  # hooks return anything
        del name, otherwise
        return hook()


def _is_readable(descriptor: int) -> bool:
    """Also where a test has more descriptors open than `select` has places for."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def context_for_tests(
    consumer: object = None, options: object = None, *, generation: int = 1, parked: NothingParked | None = None
) -> SourceContext:
    """A context as a worker gives it, for one slot of one worker."""
    return SourceContext(
        name="test/consumer",
        consumer=consumer,
        options=options,
        shard=Shard(),
        member="0123.test.consumer.0",
        lease_owner=f"0123.test.consumer.0#{generation}",
        max_unsettled=10_000,
        payload_limit_bytes=1_048_576,
        parked=parked or NothingParked(),
        worker=StandInWorker(),
        emit=lambda fact: None,
        clock=SYSTEM_CLOCK,
        engine=lambda: open_engine(getattr(options, KEY, None)),
    )
