"""The names that the code of a user's class uses, found without running it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType

_OUR_PACKAGE = "consumerd."


def users_classes(consumer_class: type) -> Iterator[type]:
    """The classes of its family that the user has written."""
    return (
        base for base in consumer_class.__mro__ if base is not object and not base.__module__.startswith(_OUR_PACKAGE)
    )


def names_in(value: object) -> Iterator[str]:
    """Every attribute and global name in a method or a property."""
    code = code_of(value)
    return _names_of(code) if code is not None else iter(())


def code_of(value: object) -> CodeType | None:
    """The code of a method or a property; None of anything else."""
    function = inspect.unwrap(value) if callable(value) else getattr(value, "fget", None)
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None


def divides_by_number(consumer_class: type) -> bool:
    """Whether a method of the class divides rows by the number of the worker: `self.shard.index` and `count`."""
    members = (value for base in users_classes(consumer_class) for value in vars(base).values())
    return any("shard" in names and names & {"index", "count"} for names in map(frozenset, map(names_in, members)))


def _names_of(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_of(constant)
