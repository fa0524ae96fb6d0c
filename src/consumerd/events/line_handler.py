"""Lines of Python's `logging` in the layout of the log, a flood of them folded. Runs in every process of a master.

`logging.lastResort` writes what no handler of the user's takes: warnings and errors. Another one stands in its place,
so that a `logging.basicConfig` of the user's works as ever. `LogHandler` gives it what users want written like that.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

from consumerd import events
from consumerd.events.facts import Fact, Level, Listener
from consumerd.events.folding import Flood, LeftOut

MOST_KINDS = 200
"""So many kinds of one level are told apart in a window; all others of the level are one kind together."""

KIND_CHARACTERS = 200
MOST_CHARACTERS = 1000
"""So much of a message is looked at for its kind."""

_NUMBERS = re.compile(
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"  # a UUID
    r"|\b(?:0x)?(?=[a-f]*\d)[0-9a-f]{8,}\b"  # a hash, an address
    r"|\d+",
    re.IGNORECASE,
)

Kind = tuple[str, str]
"""The logger, and the message without its numbers, shortened."""


class LogHandler(logging.Handler):
    """For `logging`: writes lines in the layout of consumerd's log, with the consumer, the worker and the task.

    `logging.basicConfig(handlers=[consumerd.LogHandler()], level="INFO")`. Without a worker, in a test perhaps, they
    are written as `logging` itself writes what has no handler.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        if logging.lastResort is not None:
            logging.lastResort.handle(record)


class LineHandler(logging.Handler):
    """Makes a fact of each line. What it left out is told once the window is over, and when the process ends."""

    def __init__(
        self,
        listener: Listener,
        *,
        task: Callable[[], str | None] = lambda: None,
        redact: Callable[[str], str] = str,
        **by: Any,  # `count`, `now` and `later` of `Flood`
    ) -> None:
        """task: gives the id of the task that the caller's thread handles, where it handles one."""
        super().__init__(logging.WARNING)
        self._task = task
        self._redact = redact
        self._flood = Flood(listener, _folded, MOST_KINDS, **by)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or count it."""
        try:
            fact = self._fact(record)
            if record.levelno < logging.WARNING:
                self._flood.listener(fact)
            else:  # with a room for each level: a flood of warnings leaves errors theirs
                self._flood.take(fact, _kind(record, fact), room=min(record.levelno, logging.CRITICAL) // 10)
        except Exception:  # noqa: BLE001 - a line may be of anything, and `logging` says what is wrong with it
            self.handleError(record)

    def flush(self) -> None:
        """Tell what was left out, and begin anew. `logging.shutdown` calls it as well."""
        self._flood.end()

    def _fact(self, record: logging.LogRecord) -> Fact:
        raised, traceback = record.exc_info, None
        if raised is not None and raised[1] is not None:
            traceback = self._redact(_FORMATTER.formatException(raised))
        message = self._redact(record.getMessage())
        made = events.line_logged(logger=record.name, message=message, task=self._task(), traceback=traceback)
        return made.at(_level(record.levelno))


_FORMATTER = logging.Formatter()


def write_lines(handler: LineHandler) -> None:
    """From now on, this one writes the lines of this process that no handler of the user's takes."""
    logging.lastResort = handler


def _folded(left_out: LeftOut) -> Iterable[Fact]:
    """One fact for each kind."""
    for lines, fact in left_out:
        logger, message, task = map(fact.fields.get, ("logger", "message", "task"))
        yield events.lines_folded(logger=logger, lines=lines, last_message=message, task=task)


def _kind(record: logging.LogRecord, fact: Fact) -> Kind:
    return record.name, _NUMBERS.sub("#", str(fact.fields["message"])[:MOST_CHARACTERS])[:KIND_CHARACTERS]


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return Level.ERROR
    if number >= logging.WARNING:
        return Level.WARNING
    return Level.INFO if number >= logging.INFO else Level.DEBUG
