"""What a failed attempt held is free when the task is concluded, without the garbage collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, field_validator

from consumerd import BaseConsumer
from consumerd.testing.running import Run

HELD: list[weakref.ref[Any]] = []


class Large:
    """Stands for fifty megabytes."""

    def __init__(self) -> None:
        HELD.append(weakref.ref(self))


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    HELD.clear()
    yield
    gc.enable()


class Failing(BaseConsumer):
    SOURCE: ClassVar[str] = "memory"

    def handle_task(self, offset: int, record: Any) -> object:
        large = Large()
        raise ValueError(f"{offset} {type(large)}")


class General(Failing):
    def pre_handle_task(self) -> None:
        """One hook overridden is enough."""


class Asynchronous(Failing):
    async def handle_task(self, offset: int, record: Any) -> object:  # type: ignore[override]  # allowed by the contract
        large = Large()
        raise ValueError(f"{offset} {type(large)}")


class Within(Failing):
    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise RuntimeError("the transaction is rolled back") from error

    def around_task(self, offset: int, record: Any) -> AbstractContextManager[None]:
        return self._surroundings()


class Keeping(Failing):
    """Its own frames hold their own errors, and each other's."""

    def handle_task(self, offset: int, record: Any) -> object:
        large, errors = Large(), []
        for number in range(2):
            try:
                raise ValueError(f"{offset} {number} {type(large)}")
            except ValueError as error:
                errors.append(error)
        raise ExceptionGroup("both", errors)


class Model(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def refuse(cls, number: int) -> int:
        large = Large()
        raise RuntimeError(f"{number} {type(large)}")


class Validated(Failing):
    def handle_task(self, offset: int, record: Model) -> object:
        raise AssertionError("no record is valid")


ALL = [Failing, General, Asynchronous, Within, Keeping, Validated]


@pytest.mark.parametrize("consumer_class", ALL)
@pytest.mark.parametrize("configs", [{}, {"task_retry_times": 2}], ids=["at once", "with retries"])
def test_nothing_of_a_failed_task_is_left(consumer_class: type, configs: dict[str, Any]) -> None:
    run = Run(consumer_class, [{"number": number} for number in range(3)], configs=configs)
    run.until_idle()
    run.runtime.shut()
    assert len(run.dead()) == 3
    assert len(HELD) >= 3
    assert [held() for held in HELD if held() is not None] == []


@pytest.mark.parametrize("consumer_class", ALL[:-1])
def test_nothing_of_a_deferred_task_is_left_after_its_later_attempts(consumer_class: type) -> None:
    run = Run(consumer_class, [{"number": 1}], configs={"back_off_time": 1, "expire_time": 5})
    run.until_idle()
    for _ in range(10):
        run.clock.advance(5)
        run.turn()
    run.runtime.shut()
    assert len(run.dead()) == 1
    assert len(HELD) >= 2
    assert [held() for held in HELD if held() is not None] == []
