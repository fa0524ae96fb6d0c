"""The errors that are retried, and those that are dead at once: attributes of the class, or keys of its entry.

Runs in zygotes, workers, probes and the foreground.
"""

from __future__ import annotations

import builtins
import pkgutil
from collections.abc import Iterator

from consumerd.config.common_keys import CommonKeys
from consumerd.config.problems import Problem
from consumerd.config.tables import Place
from consumerd.errors import ConfigurationError
from consumerd.model.by_error import ByError, Errors
from consumerd.model.outcome import Dead, Retry

LISTS = ("retry_on", "dead_on")


def by_error(consumer: object, common: CommonKeys) -> ByError:
    """The lists of a consumer, or of its class; ConfigurationError for one that names no errors."""
    try:
        return ByError(*(_errors(consumer, common, name) for name in LISTS))
    except ValueError as error:
        raise ConfigurationError((str(error),)) from error


def error_problems(consumer_class: type, common: CommonKeys, entry: Place, place: Place) -> Iterator[Problem]:
    """What is wrong with the lists. place: of its `configs`."""
    for name in LISTS:
        try:
            _errors(consumer_class, common, name)
        except ValueError as error:
            at, key = (entry, "class") if getattr(common, name) is None else (place, name)
            yield at.problem(str(error), key)
            return
    lists = by_error(consumer_class, common)
    for twice in sorted(set(lists.retry_on) & set(lists.dead_on), key=str):
        sentence = f"{twice.__name__} is in retry_on and in dead_on: take it out of one of them"
        yield entry.problem(sentence, "class")


def failures_of(common: CommonKeys) -> Errors:
    """The errors by which a destination is taken for down; ValueError, with a sentence, for what is no such class."""
    found = tuple(map(_error_named, common.breaker.failures))
    for each in found:
        if issubclass(each, Retry | Dead):
            what = f"{each.__name__} is what a handler says, and no error that could be counted"
            raise ValueError(f"{what}: leave it out, and let it say Retry(after=…, destination=True) for a busy one")
    return found


def _errors(consumer: object, common: CommonKeys, name: str) -> Errors:
    """One list; ValueError, with a sentence, for what is no class of errors."""
    names: list[str] | None = getattr(common, name)
    if names is not None:
        return tuple(_error_named(each) for each in names)
    found = getattr(consumer, name, None)
    classes = () if found is None else found if isinstance(found, tuple | list) else (found,)
    for each in classes:
        _must_be_error(each, f"{name} of the class")
    return tuple(classes)


def _error_named(name: str) -> type[BaseException]:
    """By the name of its class, with that of its module; without, a class of Python's own."""
    try:
        found = getattr(builtins, name, None) if name.isidentifier() else pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{name!r} cannot be had ({error}): write its module and its class, as requests.Timeout"
        ) from (error)
    if found is None:
        raise ValueError(f"{name!r} is no error of Python's own: write its module too, as requests.Timeout")
    _must_be_error(found, repr(name))
    assert isinstance(found, type)
    return found


def _must_be_error(found: object, where: str) -> None:
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise ValueError(f"{where} is {found!r}, which is no class of errors: name one that a handler can raise")
