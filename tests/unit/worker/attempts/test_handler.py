"""How a worker calls what a class has as its handler."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from consumerd import BaseConsumer
from consumerd.testing import run_consumer
from consumerd.worker.attempts.handler import by_position


def logged(method: Callable[..., None]) -> Callable[..., None]:
    @wraps(method)
    def handle(self: object, *arguments: object, **named: object) -> None:
        assert not arguments  # a decorator may count on the names, which the class's contract promises
        method(self, **named)

    return handle


class Handlers:
    def in_order(self, offset: int, record: object) -> object:
        return "in_order", offset, record

    def with_more(self, offset: int, record: object, more: int = 7) -> object:
        return "with_more", offset, record

    def turned_round(self, record: object, offset: int) -> object:
        return "turned_round", offset, record

    def by_name(self, *, offset: int, record: object) -> object:
        return "by_name", offset, record

    def whatever(self, **named: object) -> object:
        return "whatever", named["offset"], named["record"]

    def with_others_between(self, offset: int, other: int = 1, record: object = None) -> object:
        return "with_others_between", offset, record

    @staticmethod
    def static(offset: int, record: object) -> object:
        return "static", offset, record

    @classmethod
    def of_class(cls, offset: int, record: object) -> object:
        return "of_class", offset, record

    @logged
    def decorated(self, offset: int, record: object) -> None:
        assert (offset, record) == (5, "a record")


HANDLERS = [name for name in vars(Handlers) if not name.startswith("_")]


@pytest.mark.parametrize("name", HANDLERS)
def test_each_parameter_gets_its_own_value(name: str) -> None:
    handle = by_position(getattr(Handlers(), name))
    assert handle(5, "a record") in ((name, 5, "a record"), None)


@pytest.mark.parametrize("name", ["in_order", "with_more", "static", "of_class"])
def test_one_with_the_names_in_order_is_called_itself(name: str) -> None:
    method = getattr(Handlers(), name)
    assert by_position(method) is method


def test_the_fast_loop_calls_a_handler_that_takes_names_alone() -> None:
    seen: list[tuple[int, Any]] = []

    class Named(BaseConsumer):
        SOURCE = "memory"

        def handle_task(self, **named: Any) -> None:
            seen.append((named["offset"], named["record"]))

    assert run_consumer(Named, [{"uid": 7}, {"uid": 8}]).done == 2
    assert [record for _, record in seen] == [{"uid": 7}, {"uid": 8}]
