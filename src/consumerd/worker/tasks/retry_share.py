"""How much of a worker tasks that are tried again may take while new ones wait. Runs in workers and the foreground.

A share of its lanes; where that is less than one lane, one lane for a share of the time: after a retry, none begins
for as long as the new tasks' part of the time takes. While no new task waits, retries have the whole worker.
"""

from __future__ import annotations

from consumerd.clock import Clock

SMALLEST = 0.01


class RetryShare:
    """Of one worker; the loop's thread calls it.

    lanes: how many retries may run at once while new tasks wait.
    """

    def __init__(self, share: float, width: int, clock: Clock) -> None:
        """share: of the worker, from 0 to 1. width: how many tasks it runs at once."""
        self._share = share
        self._clock = clock
        self.fit(width)
        self._rests_until = 0.0
        self._is_new_waiting = False

    def fit(self, width: int) -> None:
        """The worker runs so many tasks at once from now on."""
        self.lanes = max(1, int(self._share * width))
        self._rest_a_second = max(0.0, 1 / max(self._share * width, SMALLEST) - 1)

    @property
    def rests(self) -> bool:
        """Whether no retry is to begin yet, if new tasks wait."""
        return self._clock.monotonic() < self._rests_until

    def note_new(self, *, wait: bool) -> None:
        """The source was asked for new tasks, and had some; or it had none, and retries may take all."""
        self._is_new_waiting = wait
        if not wait:
            self._rests_until = 0.0

    def note_retried(self, seconds: float, *, beside_new: bool | None = None) -> None:
        """Retries took so long. beside_new: whether new tasks waited; None: as `note_new` was told last."""
        if self._is_new_waiting if beside_new is None else beside_new:
            self._rests_until = max(self._rests_until, self._clock.monotonic() + seconds * self._rest_a_second)
