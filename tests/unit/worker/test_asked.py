"""What is asked of a source by a handle, and of one that nobody can ask."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import TaskId
from consumerd.parking.records import handle_of, key_of
from consumerd.sources.askable import TaskState, Whereabouts
from consumerd.sources.generator import KIND
from consumerd.worker import asked

TASK = ParkedTask(
    "shop/mails", TaskId("tasks:17"), "table", 0, 0, 0, ParkedState.DEAD, None, 4, 0.0, 0.0, "KeyError", "", b"{}"
)
HANDLE = handle_of(key_of(TASK.consumer, TASK.task_id))


class Store:
    """Has one task, which it knows by its id and by the start of its handle."""

    def find(self, reference: str, target: str) -> tuple[ParkedTask, ...]:
        is_meant = reference == TASK.task_id or key_of(TASK.consumer, TASK.task_id).startswith(reference.lower())
        return (TASK,) if is_meant and target == TASK.consumer else ()


class Table:
    """A source that says what it was asked for."""

    def where(self, task: str) -> Whereabouts:
        return Whereabouts(TaskState.DEAD, f"asked for {task}", (TaskId(task),))


CONTEXT: Any = SimpleNamespace(name="shop/mails", store=Store())


@pytest.mark.parametrize(
    ("named", "sought"), [(HANDLE, "tasks:17"), (HANDLE.upper(), "tasks:17"), (HANDLE[:6], HANDLE[:6]), ("17", "17")]
)
def test_a_handle_means_the_task_that_is_parked_under_it(named: str, sought: str) -> None:
    kind = replace(KIND, ask=lambda context: Table())  # type: ignore[arg-type, return-value]  # a fake
    assert asked._where(kind, CONTEXT, named)["told"] == f"asked for {sought}"


@pytest.mark.parametrize("named", [HANDLE, "tasks:17"])
def test_a_parked_task_of_a_generator_is_found_though_its_source_cannot_be_asked(named: str) -> None:
    found = asked._where(KIND, CONTEXT, named)
    assert found["parked"]["handle"] == HANDLE
    assert "nothing is parked under 'x'" in asked._where(KIND, CONTEXT, "x")["told"]


@pytest.mark.parametrize(
    ("what", "why"), [("send", "nothing can be sent to a generator"), ("peek", "nobody can look into a generator")]
)
def test_a_source_that_cannot_be_asked_says_so(what: str, why: str) -> None:
    loaded: Any = SimpleNamespace(kind=KIND, redactor=SimpleNamespace(redact=str))
    settings: Any = SimpleNamespace(full_name="shop/mails")
    assert asked.answer(loaded, settings, {"ask": what}) == {"misuse": f"shop/mails: {why}"}
