"""The parking store: a few tables, on the embedded SQLite file or on a database that all hosts share.

Every method is one transaction, but for those that say otherwise, and raises StoreAwayError when that cannot be.
Nothing is half done then, though a COMMIT whose answer was lost may have happened: repeat it. Not for several threads
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from consumerd.database.database import Database
from consumerd.model.parked import Entry
from consumerd.model.task import TaskId
from consumerd.parking import claims, given_again, ownership, parked, suspects, ticks
from consumerd.parking.parked import IDS_A_STEP
from consumerd.parking.people import browsing, deciding, editing, errors
from consumerd.parking.people.browsing import EVERY, Item, ParkedFilter
from consumerd.parking.people.deciding import Changed

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


def _transaction(
    step: Callable[Concatenate[Connection, P], ResultT], *, writes: bool = True
) -> Callable[Concatenate[ParkingStore, P], ResultT]:
    """The method that runs `step` in a transaction of its own; what it promises is what `step` promises."""

    @wraps(step)
    def transact(store: ParkingStore, /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
        run = store.database.write if writes else store.database.read
        return run(lambda connection: step(connection, *args, **kwargs))

    return transact


class ParkingStore:
    """Where tasks wait that their source does not keep. It opens its database at first use.

    database: where the rows are.
    on_step: is called after each step of what takes several transactions.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.on_step: Callable[[], None] = lambda: None

    def rest(self) -> None:
        """Let go of a connection that somebody else may need; the next call takes one again."""
        self.database.rest()

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        self.database.close()

    # For workers

    park = _transaction(claims.park)
    park_again = _transaction(claims.park_again)
    claim_due = _transaction(claims.claim_due)
    finish = _transaction(claims.finish)
    fate = _transaction(claims.fate, writes=False)
    renew = _transaction(claims.renew)
    release = _transaction(claims.release)
    release_tasks = _transaction(claims.release_tasks)
    revive = _transaction(claims.revive)
    parked_count = _transaction(parked.count, writes=False)
    next_due = _transaction(claims.next_due, writes=False)
    note_suspect = _transaction(suspects.note)
    suspects_of = _transaction(suspects.of_consumer, writes=False)
    clear_suspects = _transaction(suspects.clear)

    # For sources that take up their parked tasks themselves

    due = _transaction(given_again.due, writes=False)
    due_among = _transaction(given_again.due_among, writes=False)
    copy_of = _transaction(given_again.copy_of, writes=False)
    reopen = _transaction(given_again.reopen)
    drop_copies = _transaction(given_again.drop_copies)
    forget = _transaction(given_again.forget)
    divide = _transaction(ownership.divide)

    def entries_among(self, consumer: str, ids: Sequence[TaskId]) -> dict[TaskId, Entry]:
        """What there is of those of `ids` that are parked, waiting or dead; looked up in steps."""
        found: dict[TaskId, Entry] = {}
        for start in range(0, len(ids), IDS_A_STEP):
            step = partial(given_again.entries, consumer=consumer, ids=ids[start : start + IDS_A_STEP])
            found |= self.database.read(step)
            self.on_step()
        return found

    def parked_from(self, consumer: str, source: str, shard: int, position: int) -> frozenset[TaskId]:
        """The ids parked, waiting or dead, of this shard at or above `position`; read in steps."""
        return self._gathered(parked.of_consumer(self.database.read, consumer, (source, shard), position))

    def parked_of(self, consumer: str) -> frozenset[TaskId]:
        """The ids of all tasks of a consumer that are dead, or wait and are not due yet; read in steps."""
        return self._gathered(parked.of_consumer(self.database.read, consumer))

    def _gathered(self, parts: Iterator[frozenset[TaskId]]) -> frozenset[TaskId]:
        found: set[TaskId] = set()
        for part in parts:
            found |= part
            self.on_step()
        return frozenset(found)

    # For limits

    change_shares = _transaction(ownership.change)

    # For people

    make_runs = _transaction(ticks.make_by_hand)

    def list(self, chosen: ParkedFilter = EVERY, *, limit: int | None = None) -> Iterator[tuple[Item, ...]]:
        """The first chosen rows page by page, newest failure first; None: all."""
        return browsing.pages(self.database.read, chosen, limit)

    def by_error(self, chosen: ParkedFilter = EVERY, *, most: int) -> tuple[Item, ...]:
        """The chosen tasks by consumer and error, of `most` that failed last; read in steps."""
        return errors.by_error(self.database.read, chosen, most)

    find = _transaction(browsing.find, writes=False)
    keys_of = _transaction(browsing.keys_of, writes=False)
    edit = _transaction(editing.edit)

    def count(self, chosen: ParkedFilter = EVERY, keys: Sequence[str] | None = None) -> Iterator[Changed]:
        """How many tasks a retry or discard would change; in parts as `retry` has them."""
        return deciding.in_steps(self.database.read, deciding.count, chosen, keys)

    def retry(
        self, chosen: ParkedFilter = EVERY, keys: Sequence[str] | None = None, rate: float | None = None
    ) -> Iterator[Changed]:
        """Make dead and waiting tasks due now, or with a rate so many a second; how many, by consumer.

        `keys`: these alone, all in one transaction. None: all that the filter chooses, in steps of less than a second,
        each a transaction and one part of the result; what was changed stays so where a later step fails. A step that
        failed is tried again: what it did in spite of that, a COMMIT whose answer was lost, may not be counted.
        """
        act = deciding.retry if rate is None else deciding.retry_at(rate)
        return deciding.in_steps(self.database.write, act, chosen, keys)

    def discard(self, chosen: ParkedFilter = EVERY, keys: Sequence[str] | None = None) -> Iterator[Changed]:
        """Delete tasks for good; how many, by consumer, in parts as `retry` has them."""
        return deciding.in_steps(self.database.write, deciding.discard, chosen, keys)
