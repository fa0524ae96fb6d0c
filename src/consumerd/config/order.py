"""`after`: which consumers start once others are healthy, and what is wrong with what is written of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from consumerd.config.problems import Problem, shown
from consumerd.config.shape import ConsumerSettings
from consumerd.config.suggest import did_you_mean


def order_problems(consumers: Iterable[ConsumerSettings]) -> Iterator[Problem]:
    """Names that are no consumer's, and circles, in which nobody would ever start."""
    after = {str(consumer.full_name): consumer.common.after for consumer in consumers}
    for consumer in consumers:
        name = str(consumer.full_name)
        for earlier in consumer.common.after:
            path = (*consumer.path, "configs", "after")
            if earlier not in after:
                advice = did_you_mean(earlier, after) or ": write group/name of another consumer"
                yield Problem(consumer.origin, path, f"{shown(earlier)} is no consumer of this configuration{advice}")
            elif name in _all_before(earlier, after):
                yield Problem(
                    consumer.origin, path, f"{name} waits for {earlier}, which waits for it: remove one of the two"
                )


def _all_before(name: str, after: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """This one and all that it waits for."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += after.get(current, ())
    return frozenset(found)
