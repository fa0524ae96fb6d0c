"""Hooks that raise: reported, and no task and no worker is lost for them."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer
from consumerd.model.exits import WorkerExit
from consumerd.testing.running import NAME, Run
from consumerd.worker.attempts.hooks import REPORT_AGAIN_S
from consumerd.worker.tasks.interrupts import Interrupt


class QuietExit(BaseException):
    """Descends from no Exception, and has no text."""

    def __str__(self) -> str:
        raise ValueError("no text for you")


ERRORS = [OSError("metrics are down"), SystemExit(3), KeyboardInterrupt(), QuietExit(), ValueError("x" * 10_000_000)]


class Hooked(BaseConsumer):
    """Its hook `broken` raises `error`, so often as `times` says."""

    SOURCE: ClassVar[str] = "memory"
    error: ClassVar[BaseException]
    broken: ClassVar[str]
    times: int = 10**9

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.handled: list[int] = []
        self.called: list[str] = []

    def _call(self, hook: str) -> None:
        self.called.append(hook)
        if hook == self.broken and self.times > 0:
            self.times -= 1
            raise self.error

    def handle_task(self, offset: int, record: Any) -> object:
        self.handled.append(offset)

    def pre_handle_task(self) -> None:
        self._call("pre_handle_task")

    def post_handle_task(self) -> None:
        self._call("post_handle_task")

    def can_stop_consume(self) -> bool:
        self._call("can_stop_consume")
        return super().can_stop_consume()

    def reload_config(self) -> None:
        self._call("reload_config")

    def post_consume(self) -> None:
        self._call("post_consume")


def run_of(hook: str, error: BaseException, records: int = 3, **settings: Any) -> Run:
    consumer_class = type("Broken", (Hooked,), {"broken": hook, "error": error, "times": settings.pop("times", 10**9)})
    return Run(consumer_class, ["ok"] * records, configs=settings)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("hook", ["post_handle_task", "can_stop_consume", "reload_config"])
def test_a_hook_beside_the_handler_that_raises_is_reported_and_its_tasks_are_done(
    hook: str, error: BaseException
) -> None:
    run = run_of(hook, error)
    run.until_idle()
    assert run.consumer.handled == [0, 1, 2]
    assert run.board.read().handled == 3
    assert run.store.rows == {}
    report = run.told("hook_failed")[0].fields
    assert report["hook"] == hook
    assert str(report["error"]).startswith(type(error).__name__)
    assert len(str(report)) < 100_000
    assert len(run.told("hook_failed")) == 1


def test_a_failing_task_whose_hook_raises_too_keeps_its_own_error() -> None:
    class Failing(Hooked):
        broken, error = "post_handle_task", OSError("metrics are down")

        def handle_task(self, offset: int, record: Any) -> object:
            raise ValueError("the handler's own")

    run = Run(Failing, ["x"])
    run.until_idle()
    assert run.dead() == {f"{NAME}:0": "ValueError: the handler's own (the record is a string, not an object)"}
    assert [fact.fields["hook"] for fact in run.told("hook_failed")] == ["post_handle_task"]


@pytest.mark.parametrize("error", ERRORS[:4], ids=lambda error: type(error).__name__)
def test_a_task_whose_pre_handle_task_raises_has_failed_with_that_error(error: BaseException) -> None:
    run = run_of("pre_handle_task", error, records=1, task_retry_times=2)
    run.until_idle()
    assert run.consumer.handled == []
    assert run.consumer.called.count("pre_handle_task") == 3
    assert run.consumer.called.count("post_handle_task") == 1
    assert run.dead()[f"{NAME}:0"].startswith(type(error).__name__)
    assert run.store.rows[f"{NAME}:0"].attempts == 3


def test_pre_handle_task_is_called_again_until_it_succeeds_and_not_after() -> None:
    class Failing(Hooked):
        broken, error, times = "pre_handle_task", OSError("no connection"), 1

        def handle_task(self, offset: int, record: Any) -> object:
            super().handle_task(offset, record)
            raise ValueError("the handler's own")

    run = Run(Failing, [{"n": 1}], configs={"task_retry_times": 3})
    run.until_idle()
    assert run.consumer.called.count("pre_handle_task") == 2
    assert run.consumer.handled == [0, 0, 0]
    assert [fact.fields["error"] for fact in run.told("task_failed")] == [
        "OSError: no connection",
        *["ValueError: the handler's own"] * 3,
    ]


def test_a_hook_that_goes_on_raising_is_reported_once_a_minute_with_how_often() -> None:
    run = run_of("post_handle_task", OSError("metrics are down"), records=5)
    run.until_idle()
    assert [fact.fields["times"] for fact in run.told("hook_failed")] == [1]
    run.clock.advance(REPORT_AGAIN_S)
    run.consumer._runtime.hooks.post_handle_task()
    assert [fact.fields["times"] for fact in run.told("hook_failed")] == [1, 5]


def test_an_end_stays_what_it_was_when_post_consume_raises() -> None:
    run = run_of("post_consume", SystemExit(3))
    run.until_idle()
    run.interrupts.set(Interrupt.STOP)
    run.turn()
    run.runtime.shut()
    assert [fact.fields["hook"] for fact in run.told("hook_failed")] == ["post_consume"]
    assert run.runtime.exit is WorkerExit.DRAINED
