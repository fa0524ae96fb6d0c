"""What the workers of a pool have done, the dead and the living together. Runs in the master."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from consumerd.master.pools.worker import Worker
from consumerd.wire.board import Reading
from consumerd.wire.figures import counters, own_figures
from consumerd.wire.figures.counters import Sums, sums_in
from consumerd.wire.figures.own_figures import Figures, figures_in, lasting
from consumerd.wire.recent import KEPT, Recent, recent_in, together


@dataclass
class Counts:
    """Tasks that were handled, failed and parked, and that are not settled yet. asked: retries that handlers asked for,
    which `failed` has not. coalesced: of those that were handled, the ones that were finished with another.
    """

    handled: int = 0
    failed: int = 0
    asked: int = 0
    parked: int = 0
    unsettled: int = 0
    coalesced: int = 0

    def add(self, reading: Reading) -> None:
        self.handled += reading.handled
        self.failed += reading.failed
        self.asked += reading.asked
        self.parked += reading.parked
        self.unsettled += reading.unsettled
        self.coalesced += reading.coalesced


@dataclass
class Tally:
    """The boards of a pool's dead workers, added up.

    recent: what became of late of their tasks; sums: of their histograms and counters; own: what their code counted.
    """

    dead: Counts = field(default_factory=Counts)
    recent: Recent = field(default_factory=Recent)
    sums: Sums = counters.NOTHING
    own: Figures = field(default_factory=dict)

    def add_dead(self, worker: Worker) -> None:
        """Keep what a dead worker has done, as far as its board can be believed."""
        reading = worker.reading()
        if reading is not None:
            self.dead.add(reading)
            self.dead.unsettled = 0  # it comes again, and is counted then
            words = worker.ends.board.words
            self.recent = together([self.recent, recent_in(words)])
            self.sums = counters.together([self.sums, sums_in(words)])
            self.own = own_figures.together([self.own, lasting(figures_in(words))])

    def begin_anew(self, now: float) -> None:
        """Of the code that runs now nothing has failed."""
        self.recent = Recent(done_ns=int(now * 1e9))

    def counts(self, living: Iterable[Worker]) -> Counts:
        """Of the dead and the living."""
        counts = replace(self.dead)
        for reading in filter(None, map(Worker.reading, living)):
            counts.add(reading)
        return counts

    def all_sums(self, living: Iterable[Worker]) -> Sums:
        """Of the dead and the living: for `Histogram.read` and `Counter.read`."""
        return counters.together([self.sums, *map(sums_in, _boards(living))])

    def figures(self, living: Iterable[Worker]) -> dict[str, float]:
        """What the consumer's own code has counted, in all of them."""
        return own_figures.together([self.own, *map(figures_in, _boards(living))])

    def failures_in_a_row(self, living: Iterable[Worker]) -> int:
        """How many attempts, whoever made them, have failed since one last succeeded; 0 while they are too few to
        tell.
        """
        failures = len(together([self.recent, *map(recent_in, _boards(living))]).failed_ns)
        return failures if failures >= KEPT else 0


def _boards(living: Iterable[Worker]) -> list[memoryview]:
    """The words of those that can be believed."""
    return [worker.ends.board.words for worker in living if worker.reading() is not None]
