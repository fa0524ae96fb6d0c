"""Lines of Python's `logging` in the layout of the log, a flood of them folded. Runs in every process of a master.

`logging.lastResort` writes what no handler of the user's takes: warnings and errors. Another one stands in its place,
so that a `logging.basicConfig` of the user's works as ever. `LogHandler` gives it what users want written like that.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from consumerd import events
from consumerd.clock import monotonic
from consumerd.events.facts import Fact, Level, Listener
from consumerd.events.folding import WINDOW_S, call_later
from consumerd.events.forking import ForkableLock

MOST = 20
"""So many warnings or errors of one kind are written in a window; an error of another kind is written all the same."""
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


@dataclass(slots=True)
class _Kept:
    """What was seen of a kind of lines since the window began."""

    written: int = 0
    left_out: int = 0
    last: Fact | None = None


class LineHandler(logging.Handler):
    """Makes a fact of each line. What it left out is told once the window is over, and when the process ends."""

    def __init__(
        self,
        listener: Listener,
        *,
        task: Callable[[], str | None] = lambda: None,
        count: Callable[[], None] = lambda: None,
        redact: Callable[[str], str] = str,
        now: Callable[[], float] = monotonic,
        later: Callable[[float, Callable[[], None]], None] = call_later,
    ) -> None:
        """task: gives the id of the task that the caller's thread handles, where it handles one.

        count: is called for each line that is left out, by one thread at a time.
        """
        super().__init__(logging.WARNING)
        self._listener = listener
        self._task = task
        self._count = count
        self._redact = redact
        self._now = now
        self._later = later
        self._turn = ForkableLock()
        self._began_at = 0.0
        self._kinds: defaultdict[int, dict[Kind, _Kept]] = defaultdict(dict)
        """By the tens of the level: a flood of warnings leaves errors their room."""
        self._is_waiting = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or count it."""
        try:
            fact = self._fact(record)
            with self._turn:
                if record.levelno < logging.WARNING or self._is_written(record, fact):
                    self._listener(fact)
        except Exception:  # noqa: BLE001 - a line may be of anything, and `logging` says what is wrong with it
            self.handleError(record)

    def flush(self) -> None:
        """Tell what was left out, and begin anew. `logging.shutdown` calls it as well."""
        with self._turn:
            seen = [kept for kinds in self._kinds.values() for kept in kinds.values()]
            left_out = [(kept.left_out, kept.last.fields) for kept in seen if kept.last is not None]
            self._kinds.clear()
            self._is_waiting = False
            for lines, last in left_out:
                self._listener(
                    events.lines_folded(
                        logger=last["logger"], lines=lines, last_message=last["message"], task=last.get("task")
                    )
                )

    def _is_written(self, record: logging.LogRecord, fact: Fact) -> bool:
        """Whether a line is one of the first of its kind; else it is counted, and told by and by."""
        if self._now() - self._began_at >= WINDOW_S:
            self.flush()
            self._began_at = self._now()
        kind, kinds = _kind(record, fact), self._kinds[min(record.levelno, logging.CRITICAL) // 10]
        if kind not in kinds and len(kinds) >= MOST_KINDS:
            kind = ("", "")  # all others together
        kept = kinds.setdefault(kind, _Kept())
        if kept.written < MOST:
            kept.written += 1
            return True
        kept.left_out += 1
        self._count()
        kept.last = fact
        if not self._is_waiting:
            self._is_waiting = True
            self._later(WINDOW_S, self.flush)
        return False

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


def _kind(record: logging.LogRecord, fact: Fact) -> Kind:
    return record.name, _NUMBERS.sub("#", str(fact.fields["message"])[:MOST_CHARACTERS])[:KIND_CHARACTERS]


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return Level.ERROR
    if number >= logging.WARNING:
        return Level.WARNING
    return Level.INFO if number >= logging.INFO else Level.DEBUG
