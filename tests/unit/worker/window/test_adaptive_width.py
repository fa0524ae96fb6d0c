"""How many tasks run at once, where that is found out: beside a simulated server that has a knee."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumerd.worker.window.adaptive_width import AdaptiveWidth

MOST = 100
ENDED = 8_000

Kind = Callable[[Random], float]
"""How long one attempt takes, where one takes a second on average."""

STEADY: Kind = lambda chance: 1.0  # noqa: E731 - three of a kind
SPREAD: Kind = lambda chance: math.exp(chance.gauss(-0.08, 0.4))  # noqa: E731
BIMODAL: Kind = lambda chance: 0.5 if chance.random() < 0.9 else 5.5  # noqa: E731


@dataclass
class Server:
    """It serves so many calls at once, and lets others wait; or it refuses them, quickly.

    fails: the share of calls that fail whatever happens.
    """

    knee: int
    seconds: float
    kind: Kind = STEADY
    refuses: bool = False
    fails: float = 0.0


class Worker:
    """It has tasks without end, but runs no more than `demand` at once."""

    def __init__(self, least: int = 1, most: int = MOST, *, seed: int = 1, demand: int = MOST) -> None:
        self.width = AdaptiveWidth(least, most, 0.0)
        self._demand = demand
        self._now = 0.0
        self._chance = Random(seed)
        self._running = self._served = 0
        self._queue: deque[float] = deque()
        self._ends: list[tuple[float, int, float, bool]] = []  # when, which, begun when, whether it is served
        self._numbers = count()

    def run(self, server: Server, ended: int = ENDED) -> list[int]:
        """The widths after each of so many attempts."""
        return [self._turn(server) for _ in range(ended)]

    def _turn(self, server: Server) -> int:
        while self._running < min(self.width.width, self._demand):
            self._running += 1
            if server.refuses and self._served >= server.knee:
                self._end_in(server.seconds / 10, self._now, is_served=False)
            else:
                self._queue.append(self._now)
            self._serve(server)
        self._now, _, began, is_served = heapq.heappop(self._ends)
        at_once, self._running, self._served = self._running, self._running - 1, self._served - is_served
        self._serve(server)
        is_done = is_served and self._chance.random() >= server.fails
        self.width.note(self._now, self._now - began, at_once, is_done=is_done)
        return self.width.width

    def _serve(self, server: Server) -> None:
        while self._queue and self._served < server.knee:
            self._served += 1
            self._end_in(server.seconds * server.kind(self._chance), self._queue.popleft(), is_served=True)

    def _end_in(self, seconds: float, began: float, *, is_served: bool) -> None:
        heapq.heappush(self._ends, (self._now + seconds, next(self._numbers), began, is_served))


def is_about(knee: int, widths: list[int]) -> bool:
    """Whether in the last third of the time hardly anything is lost, and the queue is short."""
    return 0.8 * knee - 1 <= median(widths[-len(widths) // 3 :]) <= 1.6 * knee + 4


knees = st.integers(1, 50)
durations = st.sampled_from([0.02, 1.0])
kinds = st.sampled_from([STEADY, SPREAD])
few = settings(max_examples=8, derandomize=True)


@few
@given(knees, durations, kinds, st.integers(0, 99))
def test_it_comes_to_the_knee(knee: int, seconds: float, kind: Kind, seed: int) -> None:
    assert is_about(knee, Worker(seed=seed).run(Server(knee, seconds, kind)))


@few
@given(knees, knees, durations, kinds)
def test_it_follows_the_knee(before: int, after: int, seconds: float, kind: Kind) -> None:
    worker = Worker()
    worker.run(Server(before, seconds, kind))
    assert is_about(after, worker.run(Server(after, seconds, kind)))


@few
@given(knees, durations, kinds, st.sampled_from([0.5, 3.0]))
def test_a_server_that_only_becomes_slower_or_quicker_keeps_its_width(
    knee: int, seconds: float, kind: Kind, times: float
) -> None:
    worker = Worker()
    worker.run(Server(knee, seconds, kind))
    assert is_about(knee, worker.run(Server(knee, times * seconds, kind), 3 * ENDED))


@pytest.mark.parametrize("kind", [STEADY, SPREAD, BIMODAL])
def test_without_a_knee_it_comes_to_the_most_and_stays_there(kind: Kind) -> None:
    widths = Worker().run(Server(10 * MOST, 0.01, kind), 4 * ENDED)[-2 * ENDED :]
    assert sum(widths) / len(widths) > 0.95 * MOST


@pytest.mark.parametrize("seed", range(4))
def test_tasks_of_two_kinds_that_differ_tenfold(seed: int) -> None:
    assert is_about(20, Worker(seed=seed).run(Server(20, 0.05, BIMODAL), 3 * ENDED))


def test_it_comes_to_a_hundred_calls_of_a_second_in_a_quarter_of_a_minute() -> None:
    worker = Worker()
    while worker.width.width < MOST:
        worker.run(Server(MOST, 1.0), 1)
    assert worker._now <= 15


def test_calls_that_are_refused_beyond_the_knee_count_as_slow_ones() -> None:
    assert is_about(20, Worker().run(Server(20, 0.05, SPREAD, refuses=True)))


def test_a_share_that_always_fails_changes_nothing() -> None:
    assert is_about(20, Worker().run(Server(20, 0.05, SPREAD, fails=0.2)))


def test_where_all_fails_it_comes_down_to_the_least_and_grows_again_when_that_is_over() -> None:
    worker = Worker(least=2)
    worker.run(Server(30, 0.05))
    assert worker.run(Server(30, 0.05, fails=1.0), 2_000)[-1] == 2
    assert is_about(30, worker.run(Server(30, 0.05)))


def test_a_width_that_is_not_used_stays() -> None:
    widths = Worker(demand=10).run(Server(10 * MOST, 0.05))
    assert len(set(widths[-ENDED // 2 :])) == 1
    assert 10 <= widths[-1] <= 20


@given(
    st.integers(1, 8),
    st.integers(0, 8),
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.2, 9.0]), st.sampled_from([0.0, 0.1, 7.0]), st.integers(1, 16), st.booleans()
        ),
        max_size=200,
    ),
)
def test_it_stays_within_its_bounds(least: int, more: int, ends: list[tuple[float, float, int, bool]]) -> None:
    width, now = AdaptiveWidth(least, least + more, 0.0), 0.0
    for pause_s, took_s, at_once, is_done in ends:
        now += pause_s
        width.note(now, took_s, at_once, is_done=is_done)
        assert least <= width.width <= least + more
