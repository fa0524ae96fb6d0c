"""The contract between the worker's loop and a source, which every source's suite of tests checks.

Every source is a `Source`. What only some can do stands in protocols of its own, which the worker asks for by
`isinstance`: `Leased`, `Measured`, `Revocable`, and those of `sources.abilities`.

The loop's thread calls everything but `tick` and `lag`, which the keeper calls. The order of calls: `open`, then
`fetch` and `settle` in turn, `release` once for each batch, `close`.

A batch holds tasks of one shard, in source order. The loop settles it in spans, each with one outcome: from its start
to its end where tasks run one at a time, else in any order; a task may wait for the parking store while others settle.
Several batches may be in hand at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from consumerd.clock import Clock
from consumerd.errors import SourceAwayError, StoreAwayError
from consumerd.events.facts import Fact
from consumerd.model.outcome import Outcome
from consumerd.model.shards import Shard
from consumerd.model.task import Task
from consumerd.sources.askable import Askable, AskContext
from consumerd.sources.change import Change
from consumerd.sources.parked_index import ParkedIndex


@dataclass(frozen=True, slots=True)
class Traits:
    """What a source can do. Nobody asks what kind it is.

    positional: settled by a position that moves on, so that what fails must be kept elsewhere (Kafka, a generator).
    durable_defer: keeps a retry, with its due time, in its own rows.
    claimed_by_any: any worker may have any task, so that those of a key keep their order only where there is but one.
    unlimited_workers: any number of workers can share it; else at most one a shard has something to do.
    moves_ranges: its workers own ranges of its keys, which move when their number changes.
    splits_keys: its workers divide the keys by their number instead: all of them start anew when that changes.
    gives_again: gives a task again until it is done, so that it takes up its parked tasks itself (a query).
    gives_away: forgets a task once it is fetched (a generator): consumerd keeps it from its first failure on.
    runs_by_hand: a person may have it run once besides, as `consumerd run-now` asks.
    one_at_a_time: gives a worker its next task when the last one is settled, so that none runs beside another.
    """

    positional: bool = False
    durable_defer: bool = False
    claimed_by_any: bool = False
    unlimited_workers: bool = True
    moves_ranges: bool = False
    splits_keys: bool = False
    gives_again: bool = False
    gives_away: bool = False
    runs_by_hand: bool = False
    one_at_a_time: bool = False


class Batch(Protocol):
    """Tasks of one shard, columnar: raw records and readers; an object only for what leaves the fast path.

    The loop reads `handler(offset=offset(raw), record=decode(payload(raw)))` for each raw of `raws`.
    `decode` raises UndecodableError or ValueError for what cannot become a record.
    """

    shard: int
    raws: Sequence[Any]  # whatever the client gives: a Kafka message, a row
    offset: Callable[[Any], int]
    payload: Callable[[Any], Any]  # bytes, or the record itself where the source gives records
    decode: Callable[[Any], object]

    def task(self, index: int) -> Task:
        """The task at `index`, as an object."""

    def identities(self) -> bytes:
        """What makes the tasks themselves, for the board (`sources.identities`); empty where nothing does."""


class Settlement(NamedTuple):
    """The tasks `start` to `stop` (exclusive) of `batch` had this outcome, and what had to be parked is parked.

    task: with a Retry, for a source that keeps retries itself: the one task, with its attempts so far.
    """

    batch: Batch
    start: int
    stop: int
    outcome: Outcome
    task: Task | None = None


@dataclass(frozen=True, slots=True)
class ShardLag:
    """How far one shard is behind.

    tasks: how many wait.
    oldest_s: the age of the oldest unfinished task in seconds, None where it is not known.
    position: what is settled, in the source's own terms (a Kafka offset; a count of finished rows).
    later: how many more tasks have a time that has not come yet.
    complaint: a sentence on tasks that nobody can take as they are; empty where there is none.
    is_blocked: no task can come to any worker now, and no worker is to blame.
    clock_ahead_s: by how much the clock of the database is ahead of this host's; None where nobody has compared them.
    """

    shard: int
    tasks: int
    oldest_s: float | None
    position: int
    later: int = 0
    complaint: str = ""
    is_blocked: bool = False
    clock_ahead_s: float | None = None


class Worker(Protocol):
    """What a source may ask of the worker that it serves.

    shard: the worker's part of the keys; a source that divides them itself changes it.
    """

    shard: Shard

    def interrupt(self) -> None:
        """Make the loop look up from its batch: something of it is being taken away. Callable from any thread."""

    def wait(self, seconds: float, descriptor: int | None = None) -> None:
        """Sleep for so many seconds, less when an interrupt comes, or `descriptor` can be read. The loop's thread."""

    def attend(self, away: SourceAwayError | StoreAwayError | None) -> bool:
        """Do what the loop does between two fetches, for a source that waits within the user's generator.

        away: what the source would raise from `fetch` now; None while all is well. False when the worker is to stop.
        The loop's thread only.
        """

    def go_on(self) -> bool:
        """Go on for a moment with the tasks in hand, for a source that has to see them end within `fetch`: their shard
        is being taken away. False where there are none. The loop's thread only.
        """

    def note_store(self, away: StoreAwayError | None) -> None:
        """The parking store did not answer, or has. The loop's thread only."""

    def is_replaced(self) -> bool:
        """Whether another process takes this worker's place, as `close` asks; false where the slot is given up."""

    def query(self, read: Callable[[], list[object]]) -> list[object]:
        """Call what runs the user's `get_next_batch`: if that reads `self.shard`, it divides the rows itself."""

    def user_reads_shard(self) -> bool:
        """Whether `get_next_batch` has read `self.shard`, and so divides the rows itself."""

    def call_hook(self, name: str, hook: Callable[[], Any], otherwise: Any) -> Any:  # hooks return anything
        """Call a hook of the user's, named; where it raises, that is reported, and `otherwise` returned."""


@dataclass(frozen=True)
class SourceContext:
    """What a source is opened with.

    consumer: the user's instance (for `get_next_batch`, `iterate_task`, `task_id`).
    options: the source's own pydantic model, validated, secrets resolved.
    member: identifies this slot among all hosts and masters, `<id>.<group>.<name>.<slot>`; None in the foreground.
    lease_owner: `member` and the generation: who holds a claim.
    emit: reports a fact (a source that went away, that came back).
    engine: SQLAlchemy's, of the consumer's key `database`; opened at first use.
    """

    name: str
    consumer: Any  # the user's class, known by its hooks only
    options: Any  # each source casts it to its own model
    shard: Shard
    member: str | None
    lease_owner: str
    max_unsettled: int
    payload_limit_bytes: int
    parked: ParkedIndex
    worker: Worker
    emit: Callable[[Fact], None]
    clock: Clock
    engine: Callable[[], Any]


class Source(Protocol):
    """What gives a worker its tasks; each worker has one of its own.

    Any call may raise SourceAwayError (the loop waits and tries again) or SourceRefusedError (the worker ends).
    """

    traits: Traits

    @property
    def has_answered(self) -> bool:
        """Whether it has answered since `open`, by tasks or by saying that there are none: the worker can work."""

    def open(self, context: SourceContext) -> None:
        """Connect, join, claim. The slot's lock is held and the signal handlers stand.

        Raises SourceAwayError where the source does not answer. It is called again then, until it succeeds.
        """

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        """At most `limit` tasks of one shard; None when there was nothing for `timeout_s` seconds.

        A limit of 0 fetches nothing and waits up to `timeout_s` for what is outstanding (callbacks of commits).
        Raises EndOfSource when there will never be more.
        """

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        """Note the outcomes; make them durable, perhaps later and asynchronously.

        is_due: settle_interval has passed: send what is finished now, also when `settlements` is empty.
        """

    def unsettled(self) -> int:
        """How many tasks are handled, or being handled, and not yet durably settled."""

    def decode(self, payload: bytes) -> object:
        """The record in a parked task's payload; raises UndecodableError."""

    def release(self, batch: Batch, not_begun: Sequence[int]) -> None:
        """The loop has left the batch. Its tasks at these indexes, in order, were never begun, and come again."""

    def close(self, deadline: float) -> None:
        """Settle durably what is finished, give back the rest, leave, by `deadline` on the monotonic clock."""


@runtime_checkable
class Leased(Protocol):
    """A source that has to be kept in touch with, or it loses what it has: a membership, a lease."""

    def tick(self) -> None:
        """Poll, renew. The keeper, once a second."""


@runtime_checkable
class Measured(Protocol):
    """A source that knows how much waits."""

    def lag(self) -> tuple[ShardLag, ...] | None:
        """How far all shards are behind, measured now; None: that is on its way, ask again soon. The keeper."""


@runtime_checkable
class Revocable(Protocol):
    """A source whose shards or claims may be taken away while their tasks are in hand."""

    def keeps(self, batch: Batch) -> bool:
        """False when the batch's shard is being taken away: what was not started must not be."""

    def settles(self, batch: Batch) -> bool:
        """False when what is finished of the batch settles nowhere any more: its tasks are others', and come again."""

    def drop(self, batch: Batch, start: int, stop: int) -> None:
        """These tasks ended, and are not settled, since `settles` is false: the worker has them in hand no longer.

        The loop's thread; perhaps after `release`. What cannot be written now is written with what comes next.
        """


class EndOfSource(Exception):  # noqa: N818 - it is no error: a generator returned
    """There will never be more tasks: the user's `iterate_task` returned."""


@dataclass(frozen=True, slots=True)
class SourceKind:
    """What a source registers under the entry point group `consumerd.sources`.

    options: the pydantic model of its keys in `configs`; it ignores nothing and knows nothing of common keys.
    make: the source, not opened; imports the client library, and raises MissingExtraError where that is not installed.
    traits: what it can do with these options.
    hooks: what its consumers have to define.
    probe: reads the lag without joining, claiming or locking anything; `check` uses it. Nothing where nobody knows.
    remarks: what `check` tells of these options, a sentence each.
    payload_now: the payload of a task as one may come now, for `consumerd task`; empty where it must be given.
    decode: the record of a payload, where it depends on the options, which a source knows once it is open.
    complaints: what its client has against options, (key or "", sentence) each, for `check`; never where one forks.
    changes: what the table of these options lacks, and where it is told to, makes that. `check` and `table` use it.
    ask: what answers `where`, `peek` and `send`, which `sources.askable` describes.
    """

    name: str
    options: Any  # type[pydantic.BaseModel]; the contract itself stays free of pydantic
    make: Callable[[], Source]
    traits: Traits
    hooks: tuple[str, ...] = ("handle_task",)
    probe: Callable[[Mapping[str, object]], tuple[ShardLag, ...]] = lambda options: ()
    complaints: Callable[[Any], Iterable[tuple[str, str]]] = lambda options: ()
    remarks: Callable[[Any], Iterable[str]] = lambda options: ()
    payload_now: bytes = b""
    decode: Callable[[Any, bytes], object] | None = None
    changes: Callable[[Mapping[str, object], bool], tuple[Change, ...]] | None = None
    ask: Callable[[AskContext], Askable] | None = None
