"""The events that the page keeps, and the thread that hears of them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from consumerd.dashboard.memory import KEPT, Follower, Memory
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


class EventsOfMaster:
    """A control socket that answers `events` with these items, one list a question, and then in these words."""

    def __init__(self, path: Path, *answers: tuple[list[Any], str]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._answer, args=(answers,), daemon=True)
        self._thread.start()

    def _answer(self, answers: Sequence[tuple[list[Any], str]]) -> None:
        with self._listening:
            for items, refusal in answers:
                connection, _ = self._listening.accept()
                # Who cannot use an item hangs up before the end.
                with suppress(ConnectionError), connection, connection.makefile("rwb") as lines:
                    request = json.loads(lines.readline())
                    self.asked.append(request["params"])
                    for item in items:
                        self._tell(lines, {"method": "item", "params": {"id": request["id"], "item": item}})
                    end = {"error": {"code": -32000, "message": refusal}} if refusal else {"result": None}
                    self._tell(lines, {"id": request["id"], **end})

    def _tell(self, lines: Any, told: dict[str, Any]) -> None:
        lines.write(json.dumps({"jsonrpc": "2.0", **told}).encode() + b"\n")
        lines.flush()


def test_why_events_stand_still_is_told_until_they_come_again(state_dir: Path) -> None:
    path, memory, full = state_dir / "control.sock", Memory(), "16 follow already, and no more may: end one of them"
    follower = Follower(path, memory)
    first, second = told("pool_paused", 1), told("pool_resumed", 2)
    master = EventsOfMaster(path, ([first], ""), ([], full), ([first], ""), ([first, second], ""))
    follower.follow()
    assert (memory.why_still, memory.items) == (full, (first,))
    follower.follow()
    assert (memory.why_still, memory.items) == ("", (first, second))
    assert master.asked == [{"recent": 2 * KEPT, "follow": False}, {"recent": KEPT}] * 2


def test_an_error_of_our_own_is_told_and_logged_once_and_the_follower_goes_on(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, memory, wrong = state_dir / "control.sock", Memory(), {"level": "info"}
    follower = Follower(path, memory)
    EventsOfMaster(path, ([wrong], ""), ([wrong], ""), ([], ""), ([told("pool_paused")], ""))
    for _ in range(2):
        follower.follow()
        assert memory.why_still == "an error of consumerd's, which its log has (KeyError('event'))"
    follower.follow()
    assert (memory.why_still, len(memory.items)) == ("", 1)
    assert capsys.readouterr().err.count("Traceback") == 1
