"""The parking store: one table, on the embedded SQLite file or on a database that all hosts share.

Every method is one transaction, but for those that say otherwise, and raises StoreAwayError when that cannot be.
Nothing is half done then, though a COMMIT whose answer was lost may have happened: repeat it. Not for several threads
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection

from consumerd.database.database import Database
from consumerd.model.parked import ParkedTask
from consumerd.model.suspects import Suspect
from consumerd.model.task import TaskId
from consumerd.parking import browsing, claims, suspects
from consumerd.parking.browsing import Changed, Found, Page, ParkedCounts
from consumerd.parking.claims import IdPage, Lease, Place
from consumerd.parking.filters import ParkedFilter
from consumerd.parking.spans import walk

__all__ = ["Found", "Lease", "Page", "ParkedCounts", "ParkedFilter", "ParkingStore"]

EVERY = ParkedFilter()


class ParkingStore:
    """Where tasks wait that their source does not keep. It opens its database at first use."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.on_step: Callable[[], None] = lambda: None
        """Is called after each step of what takes several transactions."""

    @property
    def where(self) -> str:
        """The store's place, without a password."""
        return self._database.where

    def rest(self) -> None:
        """Let go of a connection that somebody else may need; the next call takes one again."""
        self._database.rest()

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        self._database.close()

    # For workers

    def park(self, tasks: Sequence[ParkedTask]) -> None:
        """Keep these tasks, durably, instead of what was kept of them before. Their `due_at` is by our own clock."""
        if tasks:
            self._database.write(lambda connection: claims.park(connection, tasks))

    def park_again(self, task: ParkedTask, token: str) -> bool:
        """As `park`, for a task that was claimed; False, and nothing is written, where its lease was lost."""
        return self._database.write(lambda connection: claims.park_again(connection, task, token))

    def claim_due(self, consumer: str, limit: int, lease: Lease) -> tuple[ParkedTask, ...]:
        """Claim at most `limit` waiting tasks that are due by the database's clock. The owner's name is their token."""
        return self._database.write(lambda connection: claims.claim_due(connection, consumer, limit, lease))

    def finish(self, consumer: str, task_id: TaskId, token: str) -> bool:
        """A claimed task is done: its row goes. False where the lease was lost."""
        return self._database.write(lambda connection: claims.finish(connection, consumer, task_id, token))

    def fate(self, consumer: str, task_id: TaskId) -> str:
        """What became of a task whose lease was lost, in words."""
        return self._database.read(lambda connection: claims.fate(connection, consumer, task_id))

    def renew(self, lease: Lease) -> int:
        """Prolong all claims of the owner; how many they are."""
        return self._database.write(lambda connection: claims.renew(connection, lease))

    def release(self, owner_prefix: str) -> int:
        """Give up the claims of owners whose names start so: a slot's earlier processes; how many they were."""
        return self._database.write(lambda connection: claims.release(connection, owner_prefix))

    def release_tasks(self, tasks: Sequence[ParkedTask], token: str) -> None:
        """Give up the claims on these tasks."""
        self._database.write(lambda connection: claims.release_tasks(connection, tasks, token))

    def parked_among(self, consumer: str, ids: Sequence[TaskId]) -> frozenset[TaskId]:
        """Which of `ids` are parked, waiting or dead; looked up in steps."""
        found: set[TaskId] = set()
        for start in range(0, len(ids), claims.IDS_A_STEP):
            some = ids[start : start + claims.IDS_A_STEP]
            found |= self._database.read(partial(claims.parked_among, consumer=consumer, ids=some))
            self.on_step()
        return frozenset(found)

    def parked_from(self, consumer: str, source: str, shard: int, position: int) -> frozenset[TaskId]:
        """The ids parked, waiting or dead, of this shard at or above `position`; read in steps."""
        return self._all_ids(partial(claims.parked_from, consumer=consumer, source=source, shard=shard), (position, ""))

    def parked_of(self, consumer: str) -> frozenset[TaskId]:
        """The ids of all tasks of a consumer that are parked, waiting or dead; read in steps."""
        return self._all_ids(partial(claims.parked_of, consumer=consumer), (0, ""))

    def _all_ids(self, page: Callable[..., IdPage], first: Place) -> frozenset[TaskId]:
        found: set[TaskId] = set()
        after: Place | None = first
        while after is not None:
            read = self._database.read(partial(page, after=after))
            found |= read.ids
            after = read.after
            self.on_step()
        return frozenset(found)

    def parked_count(self, consumer: str) -> tuple[int, int]:
        """How many tasks of a consumer are waiting, and how many dead; counted up to 100,000 in all."""
        return self._database.read(lambda connection: claims.parked_count(connection, consumer))

    def next_due(self, consumer: str) -> float | None:
        """Seconds until a waiting task can be claimed, 0 when one can be now; None where none waits."""
        return self._database.read(lambda connection: claims.next_due(connection, consumer))

    def note_suspect(self, task: ParkedTask) -> None:
        """Keep how often the task killed a worker, unless more is known; beside what is kept of it, if anything."""
        self._database.write(lambda connection: suspects.note(connection, task))

    def suspects_of(self, consumer: str) -> tuple[Suspect, ...]:
        """The tasks that killed a worker, and still are in their source."""
        return self._database.read(lambda connection: suspects.of_consumer(connection, consumer))

    def clear_suspects(self, consumer: str, ids: Sequence[TaskId]) -> None:
        """These are suspects no more; what of them is waiting or dead stays."""
        self._database.write(lambda connection: suspects.clear(connection, consumer, ids))

    # For people

    def counts(self, consumer: str | None = None) -> tuple[ParkedCounts, ...]:
        """How many tasks are parked, by consumer."""
        return self._database.read(lambda connection: browsing.counts(connection, consumer))

    def list(self, chosen: ParkedFilter = EVERY, *, limit: int = 100, after: str | None = None) -> Page:
        """One page of what is parked, newest failure first; `after` is the earlier page's."""
        return self._database.read(lambda connection: browsing.page(connection, chosen, limit, after))

    def find(self, reference: str, target: str | None = None) -> tuple[Found, ...]:
        """What a handle, the start of one, or a task id means, whole: nothing, one, or two where it is not unique."""
        return self._database.read(lambda connection: browsing.find(connection, reference, target))

    def keys_of(self, reference: str, chosen: ParkedFilter = EVERY) -> tuple[str, ...]:
        """The rows that such a reference means, for `retry` and `discard`; two at most are looked for."""
        return tuple(self._database.read(lambda connection: browsing.keys_of(connection, reference, chosen, limit=2)))

    def count(self, chosen: ParkedFilter = EVERY, keys: Sequence[str] | None = None) -> Iterator[Changed]:
        """How many tasks a retry or discard would change; in parts as `retry` has them."""
        return self._in_steps(self._database.read, partial(browsing.count, chosen=chosen), keys)

    def retry(self, chosen: ParkedFilter = EVERY, keys: Sequence[str] | None = None) -> Iterator[Changed]:
        """Make dead and waiting tasks due now; how many, by consumer.

        `keys`: these alone, all in one transaction. None: all that the filter chooses, in steps of less than a second,
        each a transaction and one part of the result; what was changed stays so where a later step fails. A step that
        failed is tried again: what it did in spite of that, a COMMIT whose answer was lost, may not be counted.
        """
        return self._in_steps(self._database.write, partial(browsing.retry, chosen=chosen), keys)

    def discard(self, chosen: ParkedFilter = EVERY, keys: Sequence[str] | None = None) -> Iterator[Changed]:
        """Delete tasks for good; how many, by consumer, in parts as `retry` has them."""
        return self._in_steps(self._database.write, partial(browsing.discard, chosen=chosen), keys)

    def _in_steps(
        self, transact: Callable[..., Any], change: Callable[..., Changed], keys: Sequence[str] | None
    ) -> Iterator[Changed]:  # `transact`: the database's read or write, whose result is of any type
        def step(after: str, rows: int) -> tuple[Changed, str | None]:
            def within(connection: Connection) -> tuple[Changed, str | None]:
                span = browsing.span_of(connection, after, rows)
                return change(connection, among=span), span.last

            done: tuple[Changed, str | None] = transact(within)
            return done

        if keys is None:
            yield from walk(step)
        else:
            yield transact(partial(change, among=keys))
