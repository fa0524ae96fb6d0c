"""Several tasks at once: the loop's handling where `concurrency` is more than one. Runs in workers and the foreground.

There is no barrier between batches: whenever few tasks could start, the next batch is fetched. What is done is settled
in whatever order it ends; the source knows up to where all is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterable, Sequence

from consumerd.model.suspects import Suspect
from consumerd.sources.contract import Batch
from consumerd.worker.attempts.judge import Judge
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.handling import Parts
from consumerd.worker.window.ahead import Ahead
from consumerd.worker.window.batch_lane import BatchLane
from consumerd.worker.window.batches import Batches
from consumerd.worker.window.concluding import Concluding
from consumerd.worker.window.in_hand import BatchInHand, InHand
from consumerd.worker.window.keys import KeyOf
from consumerd.worker.window.lanes import Lanes
from consumerd.worker.window.lineup import Lineup
from consumerd.worker.window.rules import Rules

LOOK_UP_S = 0.4
"""So long it waits for a task to end, at most, before the loop looks around."""

DRY_S = 0.01
"""A source that had nothing is asked again after so long, while tasks run."""


class WindowHandling:
    """Handles the tasks of several batches, and parked ones that are due, in as many lanes as it has."""

    task = None

    def __init__(
        self,
        context: WorkerContext,
        parts: Parts,
        judge: Judge,
        lanes: Lanes,
        lineup: Lineup[InHand],
        *,
        key_of: KeyOf | None,
        rules: Rules,
    ) -> None:
        """key_of: what orders tasks; None: nothing does. rules: what else may keep a task from starting."""
        self.is_finished = False
        self._parts = parts
        self._clock = context.clock
        self._judge = judge
        self._lanes = lanes
        gathers = lanes if isinstance(lanes, BatchLane) else None
        self._ahead = Ahead()
        self._intake = gathers or self._ahead
        traits = parts.source.traits
        is_plain = not (rules.hold_fresh or key_of or traits.durable_defer or traits.gives_again)
        self._direct = gathers if is_plain else None
        self._key_of = key_of
        self._suspects = parts.suspects
        self._is_order_free = key_of is None and context.common.coalesce is None  # else the newest is what came last
        self._lineup = lineup
        self._rules = rules
        self._batches = Batches(context, parts)
        self._running = 0
        self._concluding = Concluding(
            parts.hooks, self._clock, lineup, self._rules, self._batches, parts.suspects, is_ordered=key_of is not None
        )
        self._can_stop = parts.hooks.can_stop_consume if parts.hooks.come_between else None
        self._ends_with_suspects: BatchInHand | None = None
        self._is_dry = self._is_leaving = self._fills_holes = False
        self._error: BaseException | None = None
        lanes.on_ended = self._end

    @property
    def is_busy(self) -> bool:
        return bool(self._batches)

    def wants(self) -> int:
        """As many as can start soon, and as there is room for their payloads."""
        if self._waits_for_suspects:
            return 0
        width = self._lanes.width
        wanted = self._intake.wants(self._running, self._lineup.ready, width)
        if not wanted:
            return 0  # after most tasks
        room = 0 if self._rules.are_shut(width) else self._batches.room()
        if not room:
            self._intake.hurry()
        return min(room, wanted)

    @property
    def _waits_for_suspects(self) -> bool:
        """Whether a suspect runs, or is to run soon: what was fetched now would be lost to others with this worker."""
        batch = self._ends_with_suspects
        return batch is not None and batch.left > 0 and (self._suspects.is_running or self._lineup.ready > 0)

    def rests_for_s(self) -> float:
        if not self.is_busy:
            return math.inf
        next_at = 0.0 if self._lineup.ready else self._lineup.next_at
        return min(self._intake.rests_for_s(), math.inf if next_at is None else next_at - self._clock.monotonic())

    def leave(self) -> None:
        self._is_leaving = True

    def handle(self, batch: Batch | None) -> Generator[None]:
        """One pass: start what may start, wait for something to end, conclude and settle what has."""
        self._is_leaving, self._is_dry = False, batch is None and self.wants() > 0
        if batch is not None or self._is_dry:
            self._ahead.note_fetched(0 if batch is None else len(batch.raws), self._clock.monotonic())
        if batch is not None:
            self._admit(batch)
        self._run_once()
        yield
        if self._is_leaving:
            yield from self._leave()

    def try_parked(self) -> Generator[None]:
        """Parked tasks that are due take free lanes; and where none is free, their share of those that become so."""
        yield
        self._put_off()
        parked = self._batches.parked
        limit = max(min(self._lanes.room, self._lanes.width - parked), self._parts.share.lanes - parked)
        if not self._is_leaving and limit > 0:
            self._line_up(self._batches.claim(limit))

    def finish(self) -> Generator[None]:
        self._is_leaving = True
        yield from self._leave()
        self._lanes.close()

    def _leave(self) -> Generator[None]:
        """Begin nothing any more but what fills holes, and go on until all that was begun has ended."""
        self._fills_holes = True
        self._drop()
        while self.is_busy:
            self._run_once()
            yield
            self._drop()
        if self._error is not None:
            raise self._error

    def _admit(self, batch: Batch) -> None:
        has_suspects = self._is_order_free and self._suspects.put_last(batch)
        tasks = self._batches.take(batch)
        if has_suspects:
            self._ends_with_suspects = self._batches.newest
        if self._direct is not None and not (self._suspects.are_known or self._parts.breaker.is_open):
            self._running += len(tasks)
            self._direct.start_fresh(batch, tasks)
            return
        self._line_up(tasks)

    def _line_up(self, tasks: Iterable[InHand]) -> None:
        for task in tasks:
            if self._key_of is not None:
                task.key = self._key_of(task.attempt)
            self._lineup.add(task)

    def _run_once(self) -> None:
        if lost := self._batches.lost():
            self._drop(lost)
        self._start_ready()
        self._hurry(lost)
        self._rules.show(self._clock.monotonic())
        self._lanes.wait(self._patience_s())
        self._hurry(lost)
        if self._parts.breaker.is_open and self._running:
            self._take_back()  # from here on they start one at a time
        self._put_off()
        self._batches.settle()
        if not self.is_busy:
            self._rules.show(self._clock.monotonic(), is_idle=True)

    def _patience_s(self) -> float:
        """How long to wait for something to end."""
        longest_s = DRY_S if self._is_dry else 0.0
        if self._is_leaving or not self.wants():
            longest_s = LOOK_UP_S
        if (pause_s := self._parts.breaker.pause_left_s) > 0:
            return min(LOOK_UP_S, pause_s)  # nothing may start before
        next_at = self._lineup.next_at if self._lanes.room else None
        return longest_s if next_at is None else min(longest_s, max(0.0, next_at - self._clock.monotonic()))

    def _start_ready(self) -> None:
        are_suspects_known = self._suspects.are_known
        now = self._clock.monotonic()  # of the whole pass: what must wait is asked once in it
        while self._lineup and self._lanes.room and self._may_start():
            task = self._lineup.next(now)
            if task is None:
                return
            if self._batches.is_to_be_left(task):
                self._lineup.put_back(task)  # the next pass says what becomes of it
                return
            if task.attempt.ended is None and not self._rules.admit(task, now):
                continue
            may_be_one = are_suspects_known or task.parked is not None
            suspect = self._suspects.find(task.task.id, task.parked) if may_be_one else None
            if suspect is None:
                self._start(task)
            elif self._running and not self._suspects.is_condemned(suspect):
                self._concluding.leave_rules(task)
                self._lineup.put_back(task)  # it starts when nothing else runs
                self._intake.hurry()
                return
            else:
                self._start_suspect(task, suspect)

    def _may_start(self) -> bool:
        """Whether any task may: not beside a suspect; one at a time, after pauses, while nothing answers."""
        if self._suspects.is_running:
            return False
        breaker = self._parts.breaker
        if breaker.is_open and (self._running or breaker.pause_left_s > 0):
            return False
        if not self._is_leaving and self._can_stop is not None:
            self.is_finished = self._is_leaving = self._can_stop()
        return self._fills_holes or not self._is_leaving

    def _start_suspect(self, task: InHand, suspect: Suspect) -> None:
        self._batches.settle()
        if (end := self._suspects.begin(task.task, suspect, self._parts.settling)) is None:
            self._start(task)
        else:
            self._concluding.leave_rules(task)
            self._concluding.conclude(task, end)

    def _start(self, task: InHand) -> None:
        attempt = task.attempt
        if not attempt.first_at:
            self._judge.begin(attempt)
        attempt.not_before = None
        if attempt.ended is not None:
            # no news of a stop has come
            self._concluding.conclude(task, self._judge.conclusion(attempt, attempt.ended))
            return
        self._running += 1 + len(task.others)
        task.is_alone = task.is_alone or self._suspects.is_running or self._parts.breaker.is_open
        self._lanes.start(task)

    def _end(self, tasks: Sequence[InHand]) -> bool:
        """Attempts have ended, and other tasks start at once; whether the loop is to look up: to fetch, or end."""
        for task in tasks:
            self._conclude(task)
        if self._is_leaving or self._parts.breaker.is_open:
            return True  # what may still begin is seen once the others are dropped, or taken back
        self._start_ready()
        return not self._running or (not self._is_dry and self.wants() > 0)

    def _conclude(self, task: InHand) -> None:
        self._running -= 1 + len(task.others)
        if task.error is not None:
            self._error, self._is_leaving = task.error, True
            self._rules.end(task, was_begun=False)
            self._lineup.again(task, 0.0)
            return
        assert task.ended is not None
        is_its_own = not self._rules.end(task)
        ended, task.ended, attempt = task.ended, None, task.attempt
        if not attempt.first_at:
            self._judge.begin(attempt)  # it has come to its lane directly
        self._concluding.conclude(task, self._judge.conclusion(attempt, ended) if is_its_own else None)

    # What is left

    def _drop(self, left: Collection[BatchInHand] | None = None) -> None:
        """Begin no further attempt at the tasks of these batches, or at any: they come again, but for holes."""
        self._take_back()
        self._put_off(lambda task: left is None or task.came_in in left)
        has_trouble = self._error is not None or self._parts.breaker.is_open
        is_dropped = self._batches.to_be_dropped(left, () if has_trouble else self._lineup)
        dropped = self._lineup.drop(is_dropped)
        for other in [other for task in dropped for other in task.parted()[1:]]:
            self._concluding.begin_later(other)
        self._batches.give_back(dropped + self._lineup.drop(is_dropped))
        self._batches.settle()

    def _put_off(self, is_left: Callable[[InHand], bool] | None = None) -> None:
        for task, conclusion in () if self._suspects.is_running else self._rules.put_off(is_left):
            self._batches.conclude(task, conclusion)  # out of the line-up it is already

    def _hurry(self, lost: Collection[BatchInHand]) -> None:
        """What is still to begin of what is left fills holes: it has no time to be gathered."""
        if lost or self._is_leaving:
            self._intake.hurry()

    def _take_back(self) -> None:
        """What the lanes were given and have not begun is in the line-up again."""
        for task in self._lanes.take_back():
            self._running -= 1
            self._suspects.end(is_cleared=False)
            self._concluding.begin_later(task)
