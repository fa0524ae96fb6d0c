"""Workers reach the end of their memory again and again."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd import events
from consumerd.config.amounts import size
from consumerd.doctor.facts import Facts, Finding, Step
from consumerd.doctor.past import Happened

WITHIN_S = 600.0
SOON_S = 300.0
"""Workers that reach their limit so soon one after the other, in one slot, leak, or the limit is far too low."""
OUT_OF_MEMORY = "out of memory"


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        happened = facts.since_change(pool.name, WITHIN_S)
        worn = [each for each in happened if each.name == events.worker_worn_out.name and _is_of_memory(each)]
        killed = [
            each
            for each in happened
            if each.name == events.worker_ended.name and each.fields.get("cause") == OUT_OF_MEMORY
        ]
        full = [each for each in happened if each.name == events.worker_full.name]
        if not (_came_soon(worn) or len(killed) > 1 or len(full) > 1):
            continue
        last = max((*worn, *killed, *full), key=lambda each: each.at)
        told = [f"{len(worn)} workers had reached max_memory"] if worn else []
        told += [f"{len(killed)} were killed by the kernel for want of memory"] if killed else []
        told += [f"{len(full)} times memory_limit was reached"] if full else []
        memory = [worker.memory_bytes for worker in pool.now.workers if worker.memory_bytes]
        yield Finding(
            "memory_grows",
            pool.name,
            f"Workers of {pool.name} fill their memory within minutes: a leak, or a limit that is too low.",
            [
                f"within the last {WITHIN_S / 60:.0f} minutes {', '.join(told)}",
                *filter(None, [str(last.fields.get("reason", ""))]),
                *([f"now they have {', '.join(map(size, memory))}"] if memory else []),
            ],
            [
                Step(f"consumerd logs {pool.name}", "see with which tasks it began"),
                Step(f"consumerd restart {pool.name} --wait", "run the code from before, or the mended one"),
                Step("consumerd reload", "once max_memory is higher, if workers need that much"),
            ],
            "Do not take max_memory away: the kernel would kill whatever it likes, the master perhaps.",
        )


def _is_of_memory(happened: Happened) -> bool:
    return happened.fields.get("limit") == "max_memory"


def _came_soon(worn: list[Happened]) -> bool:
    """Whether two workers of one slot have reached their limit within a short time."""
    last: dict[object, float] = {}
    for each in worn:
        slot = each.fields.get("worker_id")
        if slot in last and each.at - last[slot] <= SOON_S:
            return True
        last[slot] = each.at
    return False
