"""Lanes of which no more are used than help: `concurrency` as `auto`. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Sequence

from consumerd.clock import Clock
from consumerd.model.outcome import Dead, Done
from consumerd.wire.board_writer import BoardWriter
from consumerd.worker.attempts.attempt import Cancelled, Refused
from consumerd.worker.tasks.retry_share import RetryShare
from consumerd.worker.window.adaptive_width import AdaptiveWidth
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.lanes import Lanes, OnEnded


class AdaptiveLanes:
    """Others, which begin what they are given at once. Of their attempts each is timed, from start to end."""

    def __init__(self, lanes: Lanes, least: int, share: RetryShare, board: BoardWriter, clock: Clock) -> None:
        """least: of the width; all lanes are the most. share, board: are told of each width."""
        self.on_ended: OnEnded = lambda tasks: True
        self._lanes = lanes
        self._adaptive = AdaptiveWidth(least, lanes.width, clock.monotonic())
        self._share = share
        self._board = board
        self._clock = clock
        self._began: dict[InHand, float] = {}
        lanes.on_ended = self._end
        self._fit()

    @property
    def room(self) -> int:
        return max(0, self.width - len(self._began))

    def start(self, task: InHand) -> None:
        self._began[task] = self._clock.monotonic()
        self._lanes.start(task)

    def take_back(self) -> list[InHand]:
        taken = self._lanes.take_back()
        for task in taken:
            del self._began[task]
        return taken

    def wait(self, seconds: float) -> None:
        self._lanes.wait(seconds)

    def close(self) -> None:
        self._lanes.close()

    def _end(self, tasks: Sequence[InHand]) -> bool:
        for task in tasks:
            self._note(task)
        return self.on_ended(tasks)

    def _note(self, task: InHand) -> None:
        now, at_once, ended = self._clock.monotonic(), len(self._began), task.ended
        took_s = now - self._began.pop(task)
        if ended is not None and not isinstance(ended, Refused | Cancelled):  # those say nothing of what is behind
            self._adaptive.note(now, took_s, at_once, is_done=isinstance(ended, Done | Dead))
            if self._adaptive.width != self.width:
                self._fit()

    def _fit(self) -> None:
        self.width = self._adaptive.width
        self._share.fit(self.width)
        self._board.note_width(self.width)
