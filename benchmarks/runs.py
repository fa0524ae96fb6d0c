"""Pairs of runs, each in a process of its own: the bare loop and ours, taking turns at going first."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Protocol

from benchmarks.figures import Figure, ratio_of_medians, spread


class Stopwatch:
    """Runs from the first tenth of the records to the last, and notes the pace of each hundredth of them.

    The answer is the pace that a quarter of these stretches reach: what else the machine does slows some of them down,
    and makes none quicker.
    head_start_s: the loop rests so long after its first records, so that a client that reads ahead has them all in
    memory: what is measured is the loop, not the broker.
    """

    def __init__(self, records: int, head_start_s: float = 0.0) -> None:
        self._from, self._to, self._stretch = records // 10, records, records // 100
        self._head_start_s = head_start_s
        self._began: tuple[int, float] | None = None
        self._paces: list[float] = []
        self.answer: dict[str, float] | None = None

    def passed(self, handled: int) -> bool:
        """Note how many are handled; true when all are."""
        if handled and self._head_start_s:
            time.sleep(self._head_start_s)
            self._head_start_s = 0.0
        now = time.perf_counter()
        if self._began is None:
            self._began = (handled, now) if handled >= self._from else None
        elif handled - self._began[0] >= self._stretch:
            self._paces.append((handled - self._began[0]) / (now - self._began[1]))
            self._began = (handled, now)
        if handled >= self._to and self.answer is None:
            self.answer = {"pace": statistics.quantiles(self._paces, n=4)[2]}
        return self.answer is not None


class Watch(Protocol):
    """What a loop tells how many records it has handled."""

    def passed(self, handled: int) -> bool:
        """So many are handled; true when the loop is to end."""


def paired(what: str, module: str, arguments: Sequence[str], *, pairs: int, bar: float | None) -> Figure:
    """`python -m MODULE bare|consumerd ARGUMENTS`, so many pairs: the ratio of the medians of their paces."""
    rates: dict[str, list[float]] = {"bare": [], "consumerd": []}
    for pair in range(pairs):
        for loop in ("bare", "consumerd") if pair % 2 else ("consumerd", "bare"):
            rates[loop].append(_rate([sys.executable, "-m", module, loop, *arguments]))
    ratios = [ours / bare for ours, bare in zip(rates["consumerd"], rates["bare"], strict=True)]
    return Figure(
        what,
        f"{statistics.median(rates['consumerd']):,.0f}/s",
        f"bare loop {statistics.median(rates['bare']):,.0f}/s; ratio of {pairs} pairs {spread(ratios, '.3f')}",
        ratio_of_medians(rates["consumerd"], rates["bare"]),
        bar,
    )


def _rate(command: Sequence[str]) -> float:
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if found.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {found.stderr}")
    return float(json.loads(found.stdout.splitlines()[-1])["pace"])
