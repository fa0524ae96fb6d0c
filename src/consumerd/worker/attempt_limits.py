"""Which attempts are to be interrupted: those past `soft_timeout`, and those that an operator cancels.

Runs in workers and the foreground; the timer's thread calls it. It dates attempts as the master does, from without: the
fast loop pays nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consumerd.wire.board import BUSY_SINCE_NS, CRASHES, CURSOR, LANE_WORDS, LANES_AT, look_at
from consumerd.wire.messages import CancelTask
from consumerd.wire.standing import Standing, standing
from consumerd.worker.attempts.attempt import Cancelled
from consumerd.worker.attempts.interruption import Place, TimedOut, Why
from consumerd.worker.tasks import threads
from consumerd.worker.tasks.context import WorkerContext

LOOKS_A_TIMEOUT = 4
"""So often the attempts are looked at within `soft_timeout`; at least once a second."""


class AttemptLimits:
    """Of one worker."""

    def __init__(self, context: WorkerContext) -> None:
        self._words = context.words
        self._clock = context.clock
        self._interruptions = context.interruptions
        self._soft_timeout_s = context.common.soft_timeout
        self._cancels: list[tuple[CancelTask, Cancelled]] = []
        self._standing: Standing | None = None
        beat_s = threads.BEAT_S
        self.look_every_s = min(beat_s, (self._soft_timeout_s or LOOKS_A_TIMEOUT * beat_s) / LOOKS_A_TIMEOUT)

    def cancel(self, message: CancelTask) -> None:
        """Interrupt this one with the next look; nothing where it does not run any more."""
        self._cancels.append((message, Cancelled(message.does_park)))

    def look(self) -> None:
        """Interrupt what is to be, and could not be before; once a beat. Nothing is looked at for nothing."""
        if self._soft_timeout_s is None and not self._cancels:
            return
        words = look_at(self._words)
        self._cancels = [each for each in self._cancels if self._is_wanted(*each, words)]
        wanted: dict[int, Why] = {lane: TimedOut(limit_s) for lane, limit_s in self._late(words)}
        wanted |= {message.lane: why for message, why in self._cancels}
        self._interruptions.interrupt({lane: (_place(words, lane), why) for lane, why in wanted.items()})

    def _is_wanted(self, message: CancelTask, why: Cancelled, words: Sequence[int]) -> bool:
        place = _place(words, message.lane)
        is_same = (place[BUSY_SINCE_NS], place[CURSOR]) == (message.busy_since_ns, message.cursor)
        return is_same and not self._interruptions.has_interrupted(message.lane, why)

    def _late(self, words: list[int]) -> Iterator[tuple[int, float]]:
        """The lanes that are past their time, and that."""
        if (limit_s := self._soft_timeout_s) is None:
            return
        now = self._clock.monotonic()
        self._standing = standing(self._standing, words, now)
        for lane, since_s in enumerate(self._standing.lanes):
            if since_s is not None and now - since_s >= limit_s:
                yield lane, limit_s


def _place(words: Sequence[int], lane: int) -> Place:
    start = LANES_AT + LANE_WORDS * lane
    return tuple(words[start : start + CRASHES])
