"""A figure: what was measured, beside what, against which bar; and the table of them."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import metadata


class Better(Enum):
    """Which side of its bar a figure should be on."""

    HIGHER = "≥"
    LOWER = "≤"


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    ours, beside: as text with units; value: what is compared with the bar (a ratio, or a figure of its own).
    bar: None where the figure only informs.
    """

    what: str
    ours: str
    beside: str
    value: float
    bar: float | None
    better: Better = Better.HIGHER

    @property
    def holds(self) -> bool | None:
        if self.bar is None:
            return None
        return self.value >= self.bar if self.better is Better.HIGHER else self.value <= self.bar


def ratio_of_medians(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of ours over the median of theirs."""
    return statistics.median(ours) / statistics.median(theirs)


def percentile(values: Sequence[float], percent: int) -> float:
    """The least of the values that is not below `percent` of a hundred of them."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def spread(values: Sequence[float], form: str) -> str:
    """`median (minimum–maximum)`."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def table(figures: Sequence[Figure]) -> str:
    """The figures as a table of Markdown."""
    lines = ["| figure | consumerd | beside it | value | bar | holds |", "|---|---|---|---|---|---|"]
    verdicts = {True: "yes", False: "**no**", None: "–"}
    for figure in figures:
        bar = "–" if figure.bar is None else f"{figure.better.value} {figure.bar:g}"
        cells = (figure.what, figure.ours, figure.beside, f"{figure.value:.3g}", bar, verdicts[figure.holds])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine() -> str:
    """What the figures were taken on, and with which versions."""
    packages = ("confluent-kafka", "orjson", "SQLAlchemy", "pydantic")
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in packages)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {platform.system()}, {os.cpu_count()} CPUs, {versions}"
