"""What the consumer's code counts by prometheus_client, kept on the board of its worker. Runs in zygotes and workers.

The library asks a class for the place of each number. Ours keeps them where the master finds them, also when the worker
has died. A metric that was made before the fork begins anew in each worker.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from consumerd.events.forking import ForkableLock
from consumerd.wire.figures.own_figures import FiguresWriter

_lock = ForkableLock()
_values: list[OwnValue] = []
"""Those that were made before the fork."""

_writer: FiguresWriter | None = None


def keep_own_figures() -> None:
    """Before the consumer's code is imported: have its metrics counted where they outlive the worker."""
    try:
        from prometheus_client import values
    except ImportError:
        return  # without the extra nobody asks for them
    values.ValueClass = OwnValue


def begin_figures(writer: FiguresWriter) -> None:
    """After the fork: count on this worker's board, from zero."""
    global _writer
    with _lock:
        _writer = writer
        for value in _values:
            value.begin()


class OwnValue:
    """A number, as prometheus_client has them: `MutexValue` is its own."""

    _multiprocess = False

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: tuple[str, ...],
        labelvalues: tuple[str, ...],
        help_text: str,
        multiprocess_mode: str = "",
        **_: Any,  # what later versions of the library add
    ) -> None:
        labels = dict(zip(labelnames, labelvalues, strict=True))
        self._key = json.dumps([typ, metric_name, name, labels, help_text, multiprocess_mode])
        self._value = 0.0
        self._place: int | None = None
        with _lock:
            if _writer is None:
                _values.append(self)
            else:
                self.begin()

    def begin(self) -> None:
        """Take a place on the board."""
        assert _writer is not None
        self._value, self._place = 0.0, _writer.place(self._key)
        if self._place is None:
            sys.stderr.write(f"consumerd: there is no room on the board for another metric: {self._key}\n")

    def inc(self, amount: float) -> None:
        with _lock:
            self.set(self._value + amount)

    def set(self, value: float, timestamp: float | None = None) -> None:
        del timestamp
        with _lock:
            self._value = value
            if _writer is not None and self._place is not None:
                _writer.write(self._place, value)

    def get(self) -> float:
        return self._value

    def set_exemplar(self, exemplar: object) -> None:
        """They are not kept."""

    def get_exemplar(self) -> None:
        """There is none."""
