"""All ways of running tasks, by the suite that they share."""

from __future__ import annotations

import pytest

from contracts.runners import Asynchronous, Batched, Folded, Hooked, RunnersContract, Synchronous, Way

WAYS = {
    "fast": Way(Synchronous),
    "single": Way(Hooked),
    "coroutine": Way(Asynchronous),
    "threads": Way(Synchronous, {"concurrency": 4}, width=4),
    "threads with hooks": Way(Hooked, {"concurrency": 3}, width=3),
    "batches": Way(Batched, {"batch_size": 4}, width=4),
    "batches of keys": Way(Folded, {"batch_size": 4, "coalesce": {"keep": "all", "max_wait": 3}}, width=4),
    "event loop": Way(Asynchronous, {"concurrency": 4}, width=4),
    "threads as they help": Way(Synchronous, {"concurrency": {"min": 2, "max": 5}}, width=5),
    "event loop as it helps": Way(Asynchronous, {"concurrency": "auto"}, width=100),
}


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


class TestRunners(RunnersContract):
    """The suite, of each."""
