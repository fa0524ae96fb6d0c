"""What the loop does with the batches that it has fetched. Runs in workers and the foreground.

A worker that runs one task at a time handles one batch, from its first task to its last, or to where it must leave it.
The fast runner takes it, unless a hook runs between tasks or it has a suspect: then it goes task by task. A task that
is traced is run by itself, and the fast runner takes those before and after it.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from consumerd.errors import ConsumerdError
from consumerd.model.outcome import Retry
from consumerd.model.parked import ParkedTask
from consumerd.model.suspects import Suspect
from consumerd.model.task import Task
from consumerd.sources.contract import Batch, Revocable, Source
from consumerd.worker.attempts.attempt import Conclusion, Unfinished
from consumerd.worker.attempts.attempts import Attempts
from consumerd.worker.attempts.breaker import Breaker
from consumerd.worker.attempts.hooks import Hooks
from consumerd.worker.attempts.tracer import Tracer
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.due import DueTasks
from consumerd.worker.tasks.fast import FastRunner
from consumerd.worker.tasks.gate import Gate, Pace
from consumerd.worker.tasks.recording import done_span, ended_task
from consumerd.worker.tasks.retry_share import RetryShare
from consumerd.worker.tasks.runner import Records, Runner, SingleRunner, Span
from consumerd.worker.tasks.settling import Settling
from consumerd.worker.tasks.suspects import Suspects


@dataclass(frozen=True)
class Parts:
    """What a loop and its handling both work with; all of one worker."""

    source: Source
    hooks: Hooks
    records: Records
    settling: Settling
    due: DueTasks
    suspects: Suspects
    breaker: Breaker
    share: RetryShare
    gate: Gate


class Handling(Protocol):
    """Handles what the loop has fetched, in the loop's thread. Its generators pause where the loop is to look up: there
    the loop may settle, park, or `leave`.

    is_finished: whether the consumer wants no further task.
    """

    is_finished: bool

    @property
    def task(self) -> Task | None:
        """The one that is handled now by itself; of those in lanes, each lane knows its own."""

    @property
    def is_busy(self) -> bool:
        """Whether tasks that it was given, and has begun or may begin, have not come to their end."""

    def wants(self) -> int:
        """How many tasks to fetch now, at most."""

    def rests_for_s(self) -> float:
        """For how long nothing that it has in hand wants the loop's thread; inf where nothing is."""

    def handle(self, batch: Batch | None) -> Generator[None]:
        """Take on a batch, and run tasks until another one is wanted. None: there was none, go on with those in hand.

        A batch is released to its source once nothing of it is in hand.
        """

    def try_parked(self) -> Generator[None]:
        """Take on parked tasks that are due."""

    def leave(self) -> None:
        """Begin no further task, and no further attempt at one, before the generator at hand has ended."""

    def finish(self) -> Generator[None]:
        """The loop ends: begin nothing any more, and go on until all that was begun has ended."""


FIRST_FETCH = 10
"""So few at first: nobody knows yet how long a task takes."""

CLAIMED_AT_ONCE = 20
TRIED_FOR_S = 0.5
"""So long parked tasks are tried before it is the source's turn again, and each of them once begun to its end."""


class BatchHandling:
    """Handles one batch after the other, and parked tasks that are due between two of them, one task at a time."""

    is_busy = False  # between two batches nothing is in hand

    def __init__(
        self,
        context: WorkerContext,
        parts: Parts,
        fast: FastRunner,
        single: SingleRunner,
        tracer: Tracer | None = None,
    ) -> None:
        self.is_finished = False
        self._fast = fast
        self._tracer = tracer
        self._single = single
        self._handled = 0
        self._clock = context.clock
        self._settle_interval_s = context.common.settle_interval
        self._pace = Pace(self._settle_interval_s / FIRST_FETCH)
        self._parked_pace = Pace(TRIED_FOR_S)
        self._attempts = single.attempts
        self._board = context.board
        self._parts = parts
        self._keeps = parts.source.keeps if isinstance(parts.source, Revocable) else lambda batch: True
        self._traits = parts.source.traits
        self._settling = parts.settling
        self._suspects = parts.suspects
        self._is_leaving = False

    @property
    def task(self) -> Task | None:
        return self._attempts.task or self._fast.task

    def leave(self) -> None:
        self._is_leaving = True

    def wants(self) -> int:
        return self._pace.fitting(self._settle_interval_s)

    def rests_for_s(self) -> float:
        return math.inf

    def finish(self) -> Generator[None]:
        yield from ()

    def handle(self, batch: Batch | None) -> Generator[None]:
        assert batch is not None
        began = self._clock.monotonic()
        yield from self._handle(batch)
        self._pace.learn(self._handled, self._clock.monotonic() - began)
        self._settling.park()  # before the batch is left: whoever takes its shard away waits for that
        self._parts.source.release(batch, range(self._handled, len(batch.raws)))

    def try_parked(self, attempts: Attempts | None = None) -> Generator[None]:
        """For a while. attempts: whose, in another thread that stands in for the loop's. What comes to no outcome in it
        is put back.
        """
        self._is_leaving, due = False, self._parts.due
        left = due.claim(min(self._parked_pace.fitting(TRIED_FOR_S), CLAIMED_AT_ONCE))
        if not left:
            return
        finished, began = 0, self._clock.monotonic()
        self._attempts = attempts or self._single.attempts
        try:
            while left:
                yield
                if self._is_leaving or self._clock.monotonic() - began >= TRIED_FOR_S:
                    break
                self._board.lane.begin(left[0].shard)
                conclusion = yield from self._conclude_parked(left[0])
                if isinstance(conclusion.outcome, Unfinished):
                    break
                finished += 1
                if not due.conclude(left.pop(0), conclusion):
                    break
        finally:
            took_s, self._attempts = self._clock.monotonic() - began, self._single.attempts
            self._board.lane.rest()
            self._parts.share.note_retried(took_s)
            due.put_back(left)
        self._parked_pace.learn(finished, took_s)

    def _conclude_parked(self, parked: ParkedTask) -> Generator[None, None, Conclusion]:
        """Attempt one task, unless it has killed too many workers."""
        attempt, suspect = self._parts.due.attempt(parked), self._suspects.find(parked.task_id, parked)
        if suspect is not None and (end := self._suspects.begin(attempt.task, suspect, self._settling)) is not None:
            return end
        self._suspects.show(attempt.task)
        self._attempts.begin(attempt)
        while (conclusion := self._attempts.go_on()) is None:
            yield
            if self._is_leaving:
                self._attempts.leave()
        self._suspects.end(is_cleared=not isinstance(conclusion.outcome, Unfinished))
        return conclusion

    def _handle(self, batch: Batch) -> Generator[None]:
        self._handled, self._is_leaving = 0, False
        self._board.lane.begin(batch.shard)
        is_single = self._suspects.must_go_singly(batch, is_given_away=self._traits.gives_away)
        is_single = is_single or self._parts.hooks.come_between
        try:
            while self._handled < len(batch.raws) and not self._is_leaving:
                start = self._handled
                stop = len(batch.raws) if self._tracer is None else self._tracer.next_in(batch, start)
                if start < stop and not (is_single or self._parts.breaker.is_open):
                    yield from self._run(self._fast, batch, stop)
                    if self._tracer is not None:
                        self._tracer.pass_by(self._handled - start)
                elif not self._traits.gives_away and self._parts.hooks.can_stop_consume():
                    self.is_finished = self._is_leaving = True
                elif (suspect := self._suspects.enter(batch, self._handled)) is not None:
                    yield from self._handle_suspect(batch, suspect)
                else:
                    yield from self._run(self._single, batch, self._handled + 1)
        except (ConsumerdError, GeneratorExit):
            self._board.lane.put_down()  # a source or a store that gave up: no fault of the task
            raise
        self._board.lane.rest()

    def _handle_suspect(self, batch: Batch, suspect: Suspect) -> Generator[None]:
        """Handle a task that was running when a worker died; or park it, where that was once too often."""
        index = self._handled
        if (end := self._suspects.begin(batch.task(index), suspect, self._settling)) is not None:
            self._take(Span(batch, index, index + 1, end))
            return
        yield
        if not self._is_leaving or self._traits.gives_away:  # such a task would come from nowhere again
            yield from self._run(self._single, batch, index + 1)
        self._suspects.end(is_cleared=self._handled > index)

    def _run(self, runner: Runner, batch: Batch, stop: int) -> Generator[None]:
        """Have a runner run the tasks before `stop`."""
        runner.start(batch, self._handled, stop)
        while runner.is_busy:
            for span in runner.finished():
                self._take(span)
            yield
            if self._is_leaving or not self._keeps(batch):
                self._is_leaving = True
                runner.leave()

    def _take(self, span: Span) -> None:
        """Count what has ended, and settle it. What is unfinished comes again: from its source, or it is parked."""
        conclusion = span.conclusion
        if conclusion is not None and isinstance(conclusion.outcome, Unfinished):
            if not self._traits.gives_away:
                return
            conclusion = conclusion._replace(outcome=Retry())
            span = span._replace(conclusion=conclusion)
        self._handled = span.stop
        self._record(span)
        self._settling.take(span)
        if conclusion is None:
            self._board.note_done(span.stop - span.start)
            self._parts.breaker.note_done()
            self._parts.hooks.count(span.stop - span.start)
        elif isinstance(conclusion.outcome, Retry) and not self._traits.durable_defer:
            self._parts.due.look_soon()

    def _record(self, span: Span) -> None:
        """Keep it in mind, for whoever asks what the worker did last; of what a fast loop ended, one entry for all."""
        batch, last, at = span.batch, span.stop - 1, self._clock.wall()
        if span.conclusion is not None:
            self._board.note_ended(ended_task(span.conclusion.task, span.conclusion, at))
            return
        task_id = span.task_id or self._board.identity_of(batch.offset(batch.raws[last]))
        self._board.note_ended(done_span(batch, span.start, last, task_id, span.ran, at))
