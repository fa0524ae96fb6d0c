"""The events that the page keeps, and the thread that hears of them."""

from __future__ import annotations

import threading
from typing import Any

from consumerd.dashboard.memory import KEPT, Memory
from consumerd.doctor.past import events_in

AT = "2026-01-01T00:00:00.000+00:00"


def told(event: str, number: int = 0, level: str = "warning", **fields: Any) -> dict[str, Any]:
    return {"timestamp": AT, "level": level, "event": event, "number": number, **fields}


def test_single_tasks_push_out_nothing_that_is_rare() -> None:
    memory = Memory()
    memory.note_item(told("worker_ended", consumer="shop/mails"))
    for number in range(2 * KEPT):
        memory.note_item(told(("task_failed", "task_parked", "failures_folded")[number % 3], number))
        memory.note_item(told("task_handled", number, "debug"))
    memory.note_item(told("pool_paused"))
    names = [item["event"] for item in memory.items]
    assert (names[0], names[-1], len(names)) == ("worker_ended", "pool_paused", KEPT + 2)
    assert [item["number"] for item in memory.items[1:-1]] == sorted(item["number"] for item in memory.items[1:-1])


def test_who_looks_while_events_come_sees_those_that_were_there() -> None:
    memory = Memory()
    for number in range(KEPT):
        memory.note_item(told("pool_paused", number))
    has_looked = threading.Event()

    def note() -> None:
        while not has_looked.is_set():
            memory.note_item(told("pool_paused"))
            memory.note_item(told("task_failed"))

    noting = threading.Thread(target=note)
    noting.start()
    try:
        for _ in range(20):
            assert len(events_in(memory.items)) >= KEPT
    finally:
        has_looked.set()
        noting.join()
