"""What the history of tasks in order by key must say, pure: of each key one at a time, in order, none lost."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

FINISHED = ("done", "dead")


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt. number: of the task among those of its key, from 0. ended_ns, how: None where its process died in
    it; else how it ended: `done`, `dead`, or `failed`, which is tried again.
    """

    key: int
    number: int
    pid: int
    began_ns: int
    ended_ns: int | None = None
    how: str | None = None


def read_runs(lines: Iterable[str]) -> list[Run]:
    """The runs, by the time at which they began. A line: `begin KEY NUMBER PID NS`, or how it ended instead."""
    open_runs: dict[tuple[int, int, int], int] = {}
    runs: list[Run] = []
    for what, *numbers in (line.split() for line in lines):
        key, number, pid, at_ns = map(int, numbers)
        place = key, number, pid
        if what == "begin":
            if place in open_runs:
                runs.append(Run(*place, open_runs[place]))
            open_runs[place] = at_ns
        else:
            runs.append(Run(*place, open_runs.pop(place), at_ns, what))
    runs += [Run(*place, began_ns) for place, began_ns in open_runs.items()]
    return sorted(runs, key=lambda run: run.began_ns)


def complaints(runs: Iterable[Run], counts: Mapping[int, int], killed_ns: Mapping[int, int]) -> Iterator[str]:
    """One sentence for each thing that must not be.

    counts: how many tasks each key has. killed_ns: when which process was killed, on the clock of the runs.
    """
    by_key: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_key[run.key].append(run)
    for key, count in counts.items():
        finished = {run.number for run in by_key[key] if run.how in FINISHED}
        yield from (f"key {key}: task {number} was never finished" for number in range(count) if number not in finished)
        yield from _of_key(key, by_key[key], killed_ns)


def _of_key(key: int, runs: list[Run], killed_ns: Mapping[int, int]) -> Iterator[str]:
    for run in runs:
        if run.ended_ns is None and run.pid not in killed_ns:
            yield f"key {key}: task {run.number} was begun by {run.pid}, which nobody killed, and has no end"
    if runs and runs[0].number != 0:
        yield f"key {key}: the first task to run is {runs[0].number}"
    dead = {run.number for run in runs if run.how == "dead"}  # parked, so that they are skipped where they come again
    for earlier, later in itertools.pairwise(runs):
        ended_ns = killed_ns.get(earlier.pid, earlier.began_ns) if earlier.ended_ns is None else earlier.ended_ns
        if later.began_ns < ended_ns:
            yield f"key {key}: task {later.number} of {later.pid} ran beside task {earlier.number} of {earlier.pid}"
        wanted = earlier.number + (earlier.how in FINISHED)
        while wanted in dead and wanted != later.number:
            wanted += 1
        if later.number > wanted:
            yield f"key {key}: task {later.number} was begun where task {wanted} was next"


def repeated(runs: Iterable[Run], killed: Collection[int] = ()) -> int:
    """How many runs that finished there were beyond the first of each task. killed: runs of theirs do not count."""
    finished = Counter((run.key, run.number) for run in runs if run.how in FINISHED and run.pid not in killed)
    return sum(count - 1 for count in finished.values())
