"""What became of a worker's tasks of late, on its board: when one was last done, and when new ones failed since.

The times are of the machine's monotonic clock, so that the boards of a pool's workers can be compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from consumerd.wire.board import IDENTITIES_WORD

KEPT = 20
"""So many failures are kept, the newest."""

FAILURES = IDENTITIES_WORD - KEPT - 2
"""How many new tasks have failed since one was done."""

DONE_NS = FAILURES + 1
FAILED_NS = DONE_NS + 1


@dataclass(frozen=True, slots=True)
class Recent:
    """done_ns: when a task was last done; 0 where none was. failed_ns: when new ones failed since, in no order."""

    done_ns: int = 0
    failed_ns: tuple[int, ...] = ()


def recent_in(words: memoryview) -> Recent:
    """As a board has it now."""
    failed_ns = words[FAILED_NS : FAILED_NS + KEPT].tolist()
    return Recent(words[DONE_NS], tuple(filter(None, failed_ns)))


def together(workers: Iterable[Recent]) -> Recent:
    """Of several workers as one. A failure from before the last success of any of them does not count any more."""
    all_of_them = list(workers)
    done_ns = max((recent.done_ns for recent in all_of_them), default=0)
    failed_ns = sorted(at_ns for recent in all_of_them for at_ns in recent.failed_ns if at_ns >= done_ns)
    return Recent(done_ns, tuple(failed_ns[-KEPT:]))
