"""What the handlers of limited tasks wrote down, and whether the limits were kept. Pure.

A line for each begin and end: `begin KEY NUMBER PID NS`. Of a task that a kill ended the end is that of its worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ran:
    """One attempt."""

    key: str
    began_ns: int
    ended_ns: int


def attempts(lines: Iterable[str], killed_at_ns: Mapping[int, int], end_ns: int) -> list[Ran]:
    """In the order of their begins. end_ns: when what has no end, and whose worker was not killed, ends at last."""
    begun: dict[tuple[str, str], tuple[str, int]] = {}
    found = []
    for line in lines:
        what, key, number, pid, at_ns = line.split()
        if what == "begin":
            begun[number, pid] = (key, int(at_ns))
        else:
            found.append(Ran(*begun.pop((number, pid)), int(at_ns)))
    for (_, pid), (key, began_ns) in begun.items():
        found.append(Ran(key, began_ns, max(began_ns, killed_at_ns.get(int(pid), end_ns))))
    return sorted(found, key=lambda ran: ran.began_ns)


def _steps(ran: Sequence[Ran]) -> Iterator[tuple[int, int]]:
    """When how many run from then on."""
    changes = sorted([(each.ended_ns, -1) for each in ran] + [(each.began_ns, 1) for each in ran])
    running = 0
    for at_ns, change in changes:
        running += change
        yield at_ns, running


def most_at_once(ran: Sequence[Ran]) -> int:
    return max((running for _, running in _steps(ran)), default=0)


def mean_at_once(ran: Sequence[Ran], from_ns: int, to_ns: int) -> float:
    """How many ran, on average over this time."""
    inside = (min(each.ended_ns, to_ns) - max(each.began_ns, from_ns) for each in ran)
    return sum(max(0, ns) for ns in inside) / (to_ns - from_ns)


def begun_a_second(ran: Sequence[Ran], from_ns: int, to_ns: int) -> float:
    return sum(from_ns <= each.began_ns < to_ns for each in ran) * SECOND_NS / (to_ns - from_ns)


def most_too_many(ran: Sequence[Ran], per_second: float) -> float:
    """By how many the begins of any stretch of time exceed what the rate gives to one as long, at most."""
    worst = surplus = 0.0
    for index, each in enumerate(ran):
        since_last_s = (each.began_ns - ran[index - 1].began_ns) / SECOND_NS if index else 0.0
        surplus = max(0.0, surplus - since_last_s * per_second) + 1
        worst = max(worst, surplus - 1)
    return worst
