"""Runs of numbers that follow each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def runs(ascending: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The runs in ascending numbers, each with its first number and the one after its last."""
    start = stop = None
    for number in ascending:
        if number != stop:
            if start is not None and stop is not None:
                yield start, stop
            start = number
        stop = number + 1
    if start is not None and stop is not None:
        yield start, stop
