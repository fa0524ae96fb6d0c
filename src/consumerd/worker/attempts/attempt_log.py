"""What a handler logs during an attempt: its last lines, kept for the case that the attempt fails.

A line is seen where `logging` makes its record, before any handler has it. A handler at the root logger would be found
there by the user's `logging.basicConfig`, which then does nothing. Runs in workers and the foreground.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from consumerd.clock import iso
from consumerd.model.failure import Redact
from consumerd.wire.board_writer import LaneWriter
from consumerd.worker.tasks.running import RUNNING

MOST_LINES = 20
LINE_CHARACTERS = 500
BATCH = "batch"
RAW_CHARACTERS = 16 * LINE_CHARACTERS
"""So much is kept of a line until it is asked for: secrets are taken out before it is cut."""


_Line = tuple[float, str, str]
"""When, by which logger at which level, what."""


class _Lines:
    """Of one attempt. place: of its task on the board; None in a thread that has no lane of its own."""

    __slots__ = ("kept", "place")

    def __init__(self, place: tuple[int, ...] | None) -> None:
        self.place = place
        self.kept: deque[_Line] = deque(maxlen=MOST_LINES)

    def are_of(self, lane: LaneWriter) -> bool:
        """Whether the lane still is on their task."""
        return self.place is None or lane.is_on(self.place)


class AttemptLog:
    """The last lines of the attempts that are made now, each apart: by its lane where several tasks run at once, in the
    thread or the coroutines that run it; else in the loop's own thread. What another thread logs belongs to no attempt.

    It costs nothing where nothing is logged, and a task that goes well nothing either.
    """

    def __init__(self) -> None:
        self._lane: LaneWriter | None = None
        self._thread = 0
        self._attempts: dict[object, _Lines] = {}

    @contextmanager
    def kept(self, lane: LaneWriter) -> Iterator[None]:
        """Within it, lines are kept. lane: of a worker that runs one task at a time, in this thread."""
        before = logging.getLogRecordFactory()

        def make(*args: Any, **named: Any) -> logging.LogRecord:  # as logging makes one
            record = before(*args, **named)
            self._note(record)
            return record

        self._lane, self._thread = lane, get_ident()
        logging.setLogRecordFactory(make)
        try:
            yield
        finally:
            self._lane = None
            if logging.getLogRecordFactory() is make:  # else the user has put another one about it
                logging.setLogRecordFactory(before)

    def begin(self) -> None:
        """An attempt begins, in this thread or coroutine: what was logged in the one before is forgotten."""
        if self._lane is None:
            return
        key, _ = self._at(self._lane)
        if self._is_other(key):
            self._attempts[key] = _Lines(None)
        else:
            self._attempts.pop(key, None)

    def text(self, redact: Redact) -> str:
        """The lines of the attempt that this thread or coroutine makes, without secrets; empty where there are none."""
        if self._lane is None or not self._attempts:
            return ""
        key, lane = self._at(self._lane)
        lines = self._attempts.get(key)
        if lines is None or not lines.are_of(lane):
            return ""
        return "\n".join(_told(line, redact) for line in lines.kept)

    def _note(self, record: logging.LogRecord) -> None:
        if self._lane is None or not record.name:  # one that is yet to be filled, as of `logging.makeLogRecord`
            return
        key, lane = self._at(self._lane)
        lines = self._attempts.get(key)
        if lines is None or not lines.are_of(lane):
            if self._is_other(key):
                return
            lines = self._attempts[key] = _Lines(lane.place)
        lines.kept.append(_line(record))

    def _at(self, first: LaneWriter) -> tuple[object, LaneWriter]:
        """What tells the place of this thread or coroutine from others, and its lane. first: the first lane."""
        running = RUNNING.get()
        if running is None:
            return get_ident(), first
        lane = running.lane
        return (lane.number, lane) if isinstance(lane, LaneWriter) else (BATCH, first)

    def _is_other(self, key: object) -> bool:
        """Whether it is of a thread that is neither the loop's nor a lane's."""
        return RUNNING.get() is None and key != self._thread


def _line(record: logging.LogRecord) -> _Line:
    error = record.exc_info[1] if record.exc_info else None
    try:
        text = record.getMessage()
        text = text if error is None else f"{text} ({type(error).__name__}: {error})"
    except Exception:  # noqa: BLE001 - of whatever the user logs the text may raise; logging itself tells of that
        text = "a line whose text cannot be had"
    return record.created, f"{record.levelname} {record.name}", text[:RAW_CHARACTERS]


def _told(line: _Line, redact: Redact) -> str:
    at, whose, text = line
    whole = f"{iso(at)[11:]} {whose}: {redact(text)}".replace("\n", "\n  ")
    return whole if len(whole) <= LINE_CHARACTERS else f"{whole[: LINE_CHARACTERS - 1]}…"
