"""What findings are made from: two looks at a master, and at its host. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from msgspec import UNSET, Struct

from consumerd.wire.problems import PoolProblem, ProblemKind
from consumerd.wire.status import Flag, PoolStatus, Status, WorkerStatus


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


@dataclass(frozen=True, slots=True)
class Pool:
    """One consumer: as it is, and as it was `apart_s` seconds before."""

    now: PoolStatus
    before: PoolStatus
    apart_s: float

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
        risen: int = getattr(self.now, count) - getattr(self.before, count)
        return max(0, risen) / self.apart_s

    @property
    def lag_tasks(self) -> int:
        return sum(shard.tasks for shard in self.now.lag)

    @property
    def lag_s(self) -> float:
        """The age of the oldest unfinished task, as far as it is known."""
        return max((shard.oldest_s for shard in self.now.lag if shard.oldest_s is not None), default=0.0)

    @property
    def at_work(self) -> list[WorkerStatus]:
        """The workers that are in their loop."""
        return [worker for worker in self.now.workers if worker.state in ("running", "stalled")]

    @property
    def lanes(self) -> tuple[int, int]:
        """How many tasks run, and how many may."""
        return _total(worker.running for worker in self.at_work), _total(worker.at_once for worker in self.at_work)

    def last_words(self) -> str:
        """What the last worker said that ended though nobody had asked it to."""
        ends = [worker.last_end for worker in self.now.workers if worker.last_end is not None]
        last = max(ends, key=lambda end: end.at, default=None)
        if last is None:
            return ""
        lines = (last.reason or last.stderr).strip().splitlines()
        return f"{last.end}: {lines[-1].strip()[:300]}" if lines else last.end


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known."""

    now: Status
    before: Status
    apart_s: float
    host: Host

    def pools(self) -> Iterator[Pool]:
        """Those that were there at both looks."""
        before = {pool.name: pool for pool in self.before.pools}
        for pool in self.now.pools:
            if pool.name in before:
                yield Pool(pool, before[pool.name], self.apart_s)


def _total(counts: Iterable[object]) -> int:
    return sum(count for count in counts if count is not UNSET and isinstance(count, int))
