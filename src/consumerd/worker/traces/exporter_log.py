"""What an exporter of spans logs, each time that no collector takes any. Runs in workers and the foreground.

Of our own exporter it is the reason in an event, and no line; of one of the consumer's own, a line now and then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

OVER_HTTP = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
OVER_GRPC = "opentelemetry.exporter.otlp.proto.grpc.exporter"
TOLD_EVERY_S = 600.0


class LastWords(logging.Handler):
    """Keeps why spans were not sent, instead of lines.

    text: what was said when the exporter gave up, with why it had tried again before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._cause = ""
        log = logging.getLogger(OVER_HTTP)
        log.propagate = False
        log.filters = [each for each in log.filters if not isinstance(each, Seldom)]
        log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR:
            self._cause = str(record.args[0]) if isinstance(record.args, tuple) and record.args else record.getMessage()
        else:
            cause, self._cause = self._cause, ""
            self.text = f"{record.getMessage()}{f' ({cause})' if cause else ''}"


class Seldom(logging.Filter):
    """Lets one line through every ten minutes, which says so, and how many were left out before it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._next_at = float("-inf")
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._monotonic()
        if now < self._next_at:
            self._left_out += 1
            return False
        self._next_at = now + TOLD_EVERY_S
        left_out, self._left_out = self._left_out, 0
        before = f"{left_out} more lines of the exporter before this one were left out" if left_out else ""
        then = before or "further lines of the exporter are left out for ten minutes"
        record.msg, record.args = f"{record.getMessage()} ({then}; look whether a collector answers)", ()
        return True


def say_seldom(monotonic: Callable[[], float]) -> None:
    """From now on, exporters of the consumer's own say so much only; each of the two kinds by itself."""
    for name in (OVER_HTTP, OVER_GRPC):
        log = logging.getLogger(name)
        if not any(isinstance(each, Seldom) for each in log.filters):
            log.addFilter(Seldom(monotonic))
