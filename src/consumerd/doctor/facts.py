"""What findings are made from: two looks at a master, and at its host. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from msgspec import UNSET, Struct

from consumerd import events
from consumerd.doctor.past import Happened
from consumerd.wire.metrics import Metrics, PoolMetrics
from consumerd.wire.problems import PoolProblem, ProblemKind
from consumerd.wire.status import Flag, PoolStatus, Status, WorkerStatus

Looks = tuple[Metrics, Metrics]
"""Before, and now."""

FEW_TASKS = 20
"""What is said of rates by so few tasks may be chance."""
LONGER_S = 30
LONG_START_S = 30.0


class Step(Struct, frozen=True):
    """Something to do: a command, and what it is for."""

    command: str
    why: str


class Finding(Struct, frozen=True):
    """Something that is wrong.

    name: of the kind. consumer: empty where it is of all. avoid: what not to do now, and why; perhaps nothing.
    steps: the safest first.
    """

    name: str
    consumer: str
    sentence: str
    evidence: list[str]
    steps: list[Step]
    avoid: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """state_dir: the master's. free_bytes: on its filesystem, of `total_bytes`."""

    state_dir: str
    free_bytes: int
    total_bytes: int


def starts_for_long(worker: WorkerStatus) -> bool:
    """Whether a process is there, and has not come to its loop for longer than a start takes."""
    return worker.state == "starting" and worker.pid is not None and worker.since_s > LONG_START_S


@dataclass(frozen=True, slots=True)
class Pool:
    """One consumer: as it is, and as it was `apart_s` seconds before."""

    now: PoolStatus
    before: PoolStatus
    apart_s: float
    numbers: PoolMetrics | None = None

    @property
    def name(self) -> str:
        return self.now.name

    def flag(self, away: str) -> Flag | None:
        """What is away by this name."""
        return next((flag for flag in self.now.flags if flag.away == away), None)

    def problems(self, *kinds: ProblemKind) -> list[PoolProblem]:
        """Those of these kinds that `status` has of it."""
        return [problem for problem in self.now.wrong if problem.kind in kinds]

    def without_name(self, problem: PoolProblem) -> str:
        """Its sentence, for a finding that has named the pool already."""
        return problem.sentence.removeprefix(f"{self.name}: ")

    def per_second(self, count: str) -> float:
        """By how much a counter of `status` has risen between the looks."""
        return self.now.per_second(count, self.before, self.apart_s) or 0.0

    @property
    def is_held(self) -> bool:
        """Whether something else is known to keep its tasks from being done."""
        return bool(self.now.flags or self.now.held)

    @property
    def finished(self) -> int:
        """How many attempts have ended between the looks."""
        ended, before = (pool.handled + pool.failed + pool.asked for pool in (self.now, self.before))
        return max(0, ended - before)

    @property
    def usual_s(self) -> float | None:
        """Half of all calls of the handler took no longer; None where too few are known."""
        if self.numbers is None or (calls := sum(self.numbers.calls.counts)) < FEW_TASKS:
            return None
        bounds = self.numbers.calls.bounds_s
        sums = enumerate(accumulate(self.numbers.calls.counts))
        return next((bounds[number] for number, upto in sums if upto * 2 >= calls and number < len(bounds)), None)

    @property
    def now_s(self) -> float:
        """How long a task takes by now: as many run as begin and end, or, where none has ended, as long as they run."""
        running, _ = self.lanes
        longest = max((float(worker.busy_s or 0.0) for worker in self.at_work if worker.running), default=0.0)
        return running * self.apart_s / self.finished if self.finished else longest

    def look_longer(self) -> list[Step]:
        """What to do where the looks were too short to know."""
        if self.finished >= FEW_TASKS or self.apart_s >= LONGER_S:
            return []
        why = f"{self.finished} tasks ended in the {self.apart_s:.0f} s between its looks: see whether it stays so"
        return [Step(f"consumerd doctor {self.name} --apart {LONGER_S}", why)]

    @property
    def waiting_tasks(self) -> int:
        """Tasks that wait in the source, and in hand."""
        running, _ = self.lanes
        return self.lag_tasks + max(0, self.now.unsettled - running)

    @property
    def lag_tasks(self) -> int:
        return self.now.lag_tasks or 0

    @property
    def lag_s(self) -> float:
        """The age of the oldest unfinished task, as far as it is known."""
        return self.now.lag_s or 0.0

    @property
    def behind_s(self) -> float:
        """The same; where it is not known, how long it takes to do what waits."""
        if self.lag_s or not self.finished:
            return self.lag_s
        return self.lag_tasks * self.apart_s / self.finished

    @property
    def at_work(self) -> list[WorkerStatus]:
        """The workers that are in their loop."""
        return [worker for worker in self.now.workers if worker.state in ("running", "stalled")]

    @property
    def lanes(self) -> tuple[int, int]:
        """How many tasks run, and how many may."""
        return _lanes(self.at_work)

    @property
    def lanes_before(self) -> tuple[int, int]:
        """The same at the first look."""
        return _lanes(self.before.workers)

    @property
    def busy_before(self) -> list[WorkerStatus]:
        """The workers that ran a task at the first look."""
        return [worker for worker in self.before.workers if worker.running]

    def last_words(self) -> str:
        """What the last worker said that ended though nobody had asked it to."""
        ends = [worker.last_end for worker in self.now.workers if worker.last_end is not None]
        last = max(ends, key=lambda end: end.at, default=None)
        return "" if last is None else last.how


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known.

    at: of the second look, on the wall clock. happened: what the master still knows of, oldest first. numbers: of the
    first look, by the pool's name.
    """

    now: Status
    before: Status
    apart_s: float
    host: Host
    at: float = 0.0
    happened: Sequence[Happened] = ()
    numbers: Mapping[str, PoolMetrics] = field(default_factory=dict)

    @classmethod
    def of(cls, looks: Looks, apart_s: float, host: Host, at: float, past: Sequence[Happened]) -> Facts:
        """From two answers to `metrics`, and the events that the master keeps."""
        before, now = looks
        numbers = {pool.name: pool for pool in before.pools}
        return cls(now.status, before.status, apart_s, host, at, past, numbers)

    def recent(self, consumer: str, within_s: float) -> list[Happened]:
        """What has happened to a consumer, or with an empty name to the master, within so many seconds."""
        since = self.at - within_s
        return [each for each in self.happened if each.consumer == consumer and each.at >= since]

    def since_change(self, consumer: str, within_s: float) -> list[Happened]:
        """The same, of its edition as it is: what came before that says nothing of it."""
        happened = self.recent(consumer, within_s)
        changes = [number for number, each in enumerate(happened) if each.name == events.edition_established.name]
        return happened[changes[-1] :] if changes else happened

    def pools(self) -> Iterator[Pool]:
        """Those that were there at both looks."""
        before = {pool.name: pool for pool in self.before.pools}
        for pool in self.now.pools:
            if pool.name in before:
                yield Pool(pool, before[pool.name], self.apart_s, self.numbers.get(pool.name))


def _lanes(workers: Iterable[WorkerStatus]) -> tuple[int, int]:
    known = list(workers)
    return _total(worker.running for worker in known), _total(worker.at_once for worker in known)


def _total(counts: Iterable[object]) -> int:
    return sum(count for count in counts if count is not UNSET and isinstance(count, int))
