"""The flight record: what is kept of a worker that died though nobody had asked it to leave. Runs in the master."""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.master.rules.observed import Condemned
from consumerd.wire.board import Reading


@dataclass(frozen=True, slots=True)
class FlightRecord:
    """at: wall time of the end. end: in words. reading: its board; None where that held nonsense. stderr: the last.

    stacks: of all its threads, where they were asked for. condemned: why the master killed it, if it did.
    error, traceback: what it reported itself to have ended of.
    """

    at: float
    pid: int | None
    generation: int
    end: str
    reading: Reading | None
    stacks: str = ""
    stderr: str = ""
    condemned: Condemned | None = None
    error: str = ""
    traceback: str = ""

    @property
    def how(self) -> str:
        """The end in words, with its reason."""
        if self.condemned is not None:
            return f"{self.end}: {self.condemned.reason}"
        return end_with(self.end, self.error or self.stderr)

    @property
    def trace(self) -> str:
        """The best there is of where it ended."""
        return self.stacks or self.traceback or self.stderr

    @property
    def culprit(self) -> tuple[int, int] | None:
        """(shard, offset) of the task that the worker died of, where that is known for sure: it hung, or was cancelled.

        What a worker that crashed had in hand is in `reading`: its tasks are suspects only.
        """
        sentence = self.condemned
        if sentence is None or sentence.shard is None or sentence.offset is None:
            return None
        return sentence.shard, sentence.offset


def end_with(end: str, said: str) -> str:
    """The end of a process, and the last line of what it said."""
    lines = said.strip().splitlines()
    return f"{end}: {lines[-1].strip()[:200]}" if lines else end
