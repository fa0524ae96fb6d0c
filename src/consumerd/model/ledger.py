"""Which positions of a shard are finished, and the one below which all are: the only thing that may be committed.

A *span* is a run of positions that the loop was given in order. Its tasks finish in any order, at a cost that does not
grow with how many are unfinished: it shrinks from its start, and remembers what is finished behind an unfinished task.
The watermark is the start of the oldest span that is not finished. Gaps (compacted records, transaction markers) lie
between spans or within one and cost nothing: tasks are counted, positions only compared.
"""

from __future__ import annotations

from collections import deque

UNKNOWN = -1
"""The position of a shard of which nothing is known yet."""


class Span:
    """Positions from `start`, the first that is not finished, to `end` (exclusive).

    count: how many tasks it was taken with.
    reached: how many of them are finished, from the first one on; the next one is not.
    credit: those of them that are finished while an older span is not, and so do not lie below the watermark.
    """

    __slots__ = ("_ahead", "count", "credit", "end", "reached", "start")

    def __init__(self, start: int, end: int, count: int) -> None:
        self.start = start
        self.end = end
        self.count = count
        self.reached = 0
        self.credit = 0
        self._ahead: bytearray | None = None  # a byte for each task, from when one is finished out of order

    def __repr__(self) -> str:
        return f"Span({self.start}, {self.end}, count={self.count})"

    @property
    def is_finished(self) -> bool:
        return self.start >= self.end

    def finish(self, first: int, last: int) -> int:
        """Its tasks `first` to `last` (exclusive) are finished, by their number; how much farther that has it reach."""
        assert self.reached <= first < last <= self.count, f"of {self}, the tasks {first} to {last} are settled twice"
        before, ahead = self.reached, self._ahead
        if ahead is None and first == before:
            self.reached = last
            return last - before
        if ahead is None:
            ahead = self._ahead = bytearray(self.count)
        assert 1 not in ahead[first:last], f"of {self}, one of the tasks {first} to {last} is settled twice"
        ahead[first:last] = b"\1" * (last - first)
        if first == before:
            unfinished = ahead.find(0, last)
            self.reached = self.count if unfinished < 0 else unfinished
        return self.reached - before


class ShardLedger:
    """The spans of one shard, oldest first.

    taken: how many tasks were given to the loop; finished_below: how many of them lie below the watermark.
    """

    __slots__ = ("_next", "_spans", "finished_below", "taken")

    def __init__(self, position: int = UNKNOWN) -> None:
        """Start with nothing taken: the next task expected is at `position`, or above."""
        self._next = position
        self._spans: deque[Span] = deque()
        self.taken = 0
        self.finished_below = 0

    @property
    def watermark(self) -> int:
        """The highest position below which everything is finished; UNKNOWN until something is known of the shard."""
        return self._spans[0].start if self._spans else self._next

    @property
    def taken_to(self) -> int:
        """The position after the last task taken."""
        return self._next

    def take(self, start: int, end: int, count: int) -> Span:
        """The loop was given `count` tasks at positions from `start` to below `end`, all after those given before."""
        assert self._next <= start < end, (self._next, start, end)
        span = Span(start, end, count)
        self._next = end
        self.taken += count
        self._spans.append(span)
        return span

    def skip_to(self, position: int) -> None:
        """There is no task below `position` but those taken: what is there is parked, or is no task."""
        self._next = max(self._next, position)

    def advance(self, span: Span, start: int, count: int) -> None:
        """`count` more tasks of `span` are finished: all below `start`."""
        assert span.start <= start <= span.end, (span, start)
        assert 0 <= count <= span.count, (span, count)
        span.start = start
        span.credit += count
        self._raise_watermark()

    def _raise_watermark(self) -> None:
        while self._spans:
            oldest = self._spans[0]
            self.finished_below += oldest.credit
            oldest.credit = 0
            if not oldest.is_finished:
                return
            self._spans.popleft()
