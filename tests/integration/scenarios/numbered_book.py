"""What the book of a pool of numbered rows must say, pure: every row once, or again for a reason that is known."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """One handler's run of a row. ended_ns: None where its process died in it."""

    number: int
    pid: int
    began_ns: int
    ended_ns: int | None


_LINE = re.compile(r"(begin|end) (\d+) (\d+) (\d+)$")
"""Of a line that a kill has torn the rest is missing, and the next one follows it at once."""


def read_runs(lines: Iterable[str]) -> list[Run]:
    """The runs, by the time at which they began."""
    open_runs: dict[tuple[int, int], int] = {}
    runs: list[Run] = []
    for what, number, pid, at_ns in (found.groups() for line in lines if (found := _LINE.search(line))):
        key = (int(number), int(pid))
        if what == "begin":
            if key in open_runs:
                runs.append(Run(*key, open_runs[key], None))
            open_runs[key] = int(at_ns)
        else:
            runs.append(Run(*key, open_runs.pop(key), int(at_ns)))
    runs += [Run(*key, began_ns, None) for key, began_ns in open_runs.items()]
    return sorted(runs, key=lambda run: run.began_ns)


def complaints(
    runs: Iterable[Run],
    numbers: Collection[int],
    *,
    killed: Collection[int],
    frozen: Collection[int],
    most_repeats: int,
) -> Iterator[str]:
    """One sentence for each thing that must not be.

    killed: the processes that died by a fault; frozen: those that were stopped by a signal, whatever became of them.
    most_repeats: so many rows of one process may come again.
    """
    by_number: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_number[run.number].append(run)
    yield from (f"row {number} was never handled" for number in numbers if not _is_done(by_number.get(number, [])))
    yield from (f"row {number} is nobody's" for number in by_number if number not in numbers)
    repeats: Counter[int] = Counter()
    for number, found in by_number.items():
        for earlier, later in itertools.pairwise(found):
            is_late = later.pid in frozen and earlier.pid not in killed and earlier.pid not in frozen
            reason = later.pid if is_late else earlier.pid  # it had taken the row, and was stopped before it began
            repeats[reason] += earlier.ended_ns is not None
            if reason not in killed and reason not in frozen:
                yield f"row {number} came again after {earlier.pid}, to which nothing had been done"
            if earlier.ended_ns is not None and later.began_ns < earlier.ended_ns and reason not in frozen:
                yield f"row {number} was handled by {earlier.pid} and {later.pid} at once"
    for pid, count in repeats.items():
        if count > most_repeats:
            yield f"{count} rows of {pid} came again, and {most_repeats} may"


def repeated(runs: Iterable[Run]) -> int:
    """How many finished runs there were beyond the first of each row."""
    finished = Counter(run.number for run in runs if run.ended_ns is not None)
    return sum(count - 1 for count in finished.values())


def _is_done(runs: Iterable[Run]) -> bool:
    return any(run.ended_ns is not None for run in runs)
