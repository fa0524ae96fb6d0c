"""The names that the code of a user's class uses, found without running it."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator
from itertools import pairwise
from types import CodeType

_OUR_PACKAGE = "consumerd."
_DIVIDING = frozenset({"index", "count"})
_READING = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"})
"""The instructions that read an attribute."""


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
    """Whether a method of the class divides rows by the number of the worker: `self.shard.index` and `count`.

    Where the shard itself goes elsewhere, such as into a variable, each `index` and `count` may be read from it.
    """
    members = (value for base in users_classes(consumer_class) for value in vars(base).values())
    return any(_divides(code) for code in map(code_of, members) if code is not None)


def _divides(code: CodeType) -> bool:
    read = frozenset(_read_from_shard(code))
    return bool(_DIVIDING & (frozenset(_names_of(code)) if None in read else read))


def _read_from_shard(code: CodeType) -> Iterator[str | None]:
    """What is read from each `.shard` at once; None where the shard goes elsewhere."""
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for step, following in pairwise(steps):
        if step.opname in _READING and step.argval == "shard":
            yield following.argval if following.opname in _READING else None
    for inner in _codes_within(code):
        yield from _read_from_shard(inner)


def _names_of(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in _codes_within(code):
        yield from _names_of(inner)


def _codes_within(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))
