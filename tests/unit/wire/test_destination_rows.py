"""The breaker of a destination: what opens it, who probes, how it returns; and a pool of workers in a simulation."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from consumerd.model.limits import SECOND_NS
from consumerd.testing.clock import ManualClock
from consumerd.wire.destination_rows import WAITING, DestinationCounts, changing, counts_by_consumer, prefix_of
from consumerd.wire.destinations import (
    BUCKETS,
    FIRST_PAUSE_NS,
    LONGEST_PAUSE_NS,
    LOOK_NS,
    RAMP_NS,
    RETURNS_IN_NS,
    RUN_THAT_REOPENS,
    WORDS,
    BreakerPolicy,
    Destination,
    Ended,
    State,
    looked_at,
)
from consumerd.wire.shared_table import SharedTable

POLICY = BreakerPolicy(share=0.5, least=10, window_s=10.0)
NOW = 1_000 * SECOND_NS
SEEDS = 100

FAILED = Ended(failures=1, tasks=1)
FAILED_AGAIN = Ended(failures=1)
DONE = Ended(done=1)


def opened(now: int = NOW) -> Destination:
    found = Destination()
    for _ in range(POLICY.least):
        found.note(POLICY, now, FAILED)
    assert found.state is State.OPEN
    return found


def returning(now: int = NOW) -> Destination:
    found = opened(now)
    found.probe_ended(now, is_done=True, chance=0.0)
    assert found.state is State.RETURNING
    return found


# What opens it


def test_it_opens_at_the_share_of_failures_and_not_before() -> None:
    destination = Destination()
    for _ in range(20):
        destination.note(POLICY, NOW, DONE)
    for _ in range(19):
        destination.note(POLICY, NOW, FAILED)
        destination.note(POLICY, NOW, DONE)
        destination.note(POLICY, NOW, FAILED_AGAIN)
    assert destination.state is State.CLOSED
    assert destination.within_window() == (58, 19)
    while destination.state is State.CLOSED:
        destination.note(POLICY, NOW, Ended(done=1, failures=2, tasks=2))
    assert (destination.attempts, destination.failures) == (118, 59)


def test_it_opens_when_the_last_attempts_have_all_failed_however_slowly_they_came() -> None:
    destination = Destination()
    for minute in range(POLICY.least):
        assert destination.state is State.CLOSED
        destination.note(POLICY, NOW + minute * 60 * SECOND_NS, FAILED)
    assert destination.state is State.OPEN
    assert (destination.attempts, destination.failures) == (POLICY.least, POLICY.least)


def test_a_task_that_fails_again_and_again_does_not_open_it_alone() -> None:
    destination = Destination()
    destination.note(POLICY, NOW, FAILED)
    for _ in range(100):
        destination.note(POLICY, NOW, FAILED_AGAIN)
    assert destination.state is State.CLOSED
    assert destination.within_window() == (1, 1)


def test_what_has_left_the_window_does_not_count() -> None:
    destination = Destination()
    for _ in range(POLICY.least - 1):
        destination.note(POLICY, NOW, FAILED)
    destination.note(POLICY, NOW, DONE)
    destination.note(POLICY, NOW + 20 * SECOND_NS, FAILED)
    assert destination.state is State.CLOSED
    assert destination.within_window() == (1, 1)


# Probes


def test_one_probe_at_a_time_after_growing_pauses() -> None:
    destination, now = opened(), NOW
    pauses = []
    for _ in range(5):
        assert destination.may_begin(now, is_probed=False) is not None
        pauses.append(destination.next_ns - now)
        now = destination.next_ns
        assert destination.may_begin(now, is_probed=True) == now + LOOK_NS
        assert destination.may_begin(now, is_probed=False) is None
        destination.probe_ended(now, is_done=False, chance=0.0)
    assert pauses == [FIRST_PAUSE_NS, *[LONGEST_PAUSE_NS // 2], *[LONGEST_PAUSE_NS] * 3]


def test_what_ends_late_that_began_before_it_opened_changes_nothing() -> None:
    destination = opened()
    destination.note(POLICY, NOW, DONE)
    destination.note(POLICY, NOW, FAILED)
    assert destination.state is State.OPEN


def test_failures_in_a_row_while_it_returns_open_it_again_as_the_same_outage() -> None:
    destination = returning()
    for _ in range(RUN_THAT_REOPENS):
        assert destination.state is State.RETURNING
        destination.note(POLICY, NOW + SECOND_NS, FAILED)
    assert destination.state is State.OPEN
    assert (destination.since_ns, destination.changed_ns, destination.openings) == (NOW, NOW + SECOND_NS, 2)
    assert destination.next_ns > NOW + SECOND_NS + FIRST_PAUSE_NS


def test_while_it_returns_the_share_of_failures_is_what_it_is_when_closed() -> None:
    destination = returning()
    for _ in range(100):
        destination.note(POLICY, NOW + SECOND_NS, Ended(done=2, failures=1, tasks=1))
    assert destination.state is State.RETURNING
    while destination.state is State.RETURNING:
        destination.note(POLICY, NOW + SECOND_NS, Ended(done=1, failures=3, tasks=3))
    assert (destination.attempts, destination.failures) == (500, 250)


def test_once_the_usual_rate_is_reached_failures_in_a_row_are_as_when_closed() -> None:
    destination = returning()
    for _ in range(POLICY.least):
        assert destination.state is State.RETURNING
        destination.note(POLICY, NOW + RAMP_NS, FAILED)
    assert destination.state is State.OPEN


def test_who_asks_for_quiet_is_not_probed_before_it_is_over() -> None:
    for destination in (Destination(), opened(), returning()):
        destination.leave_alone(NOW, 60 * SECOND_NS)
        assert destination.state is State.OPEN
        destination.leave_alone(NOW, 5 * SECOND_NS)
        assert destination.may_begin(NOW + 59 * SECOND_NS, is_probed=False) is not None
        assert destination.may_begin(NOW + 60 * SECOND_NS, is_probed=False) is None


def test_who_has_only_asked_for_quiet_is_at_its_usual_rate_at_once_afterwards() -> None:
    destination = Destination()
    destination.leave_alone(NOW, SECOND_NS)
    later = NOW + SECOND_NS
    assert destination.may_begin(later, is_probed=False) is None
    destination.probe_ended(later, is_done=True, chance=0.0)
    assert destination.state is State.CLOSED


def test_who_was_down_returns_slowly_though_it_asks_for_quiet() -> None:
    destination = opened()
    destination.leave_alone(NOW, SECOND_NS)
    destination.probe_ended(NOW + SECOND_NS, is_done=True, chance=0.0)
    assert destination.state is State.RETURNING


def test_who_was_down_when_the_quiet_was_over_returns_slowly() -> None:
    destination = Destination()
    destination.leave_alone(NOW, SECOND_NS)
    for is_done in (False, True):
        destination.probe_ended(NOW + SECOND_NS, is_done=is_done, chance=0.0)
    assert destination.state is State.RETURNING


def test_what_a_person_holds_open_stays_so_though_it_asks_for_quiet() -> None:
    destination = Destination()
    destination.hold(NOW)
    destination.leave_alone(NOW, SECOND_NS)
    assert destination.state is State.HELD


# By hand


def test_what_is_held_by_hand_is_neither_probed_nor_closed_by_what_ends() -> None:
    destination = Destination()
    destination.hold(NOW)
    later = NOW + 3600 * SECOND_NS
    assert destination.may_begin(later, is_probed=False) == later + LOOK_NS
    destination.probe_ended(later, is_done=True, chance=0.0)
    assert destination.state is State.HELD
    destination.release(later)
    assert destination.state is State.RETURNING


def test_a_probe_that_was_on_its_way_does_not_undo_what_a_person_decided() -> None:
    destination = opened()
    destination.release(NOW)
    destination.probe_ended(NOW, is_done=False, chance=0.0)
    assert destination.state is State.RETURNING


# The row


@given(st.lists(st.tuples(st.sampled_from("dfFphrq"), st.integers(0, 5 * SECOND_NS)), max_size=60))
def test_a_row_says_what_the_state_is(steps: list[tuple[str, int]]) -> None:
    destination, now = Destination(), NOW
    for step, passed in steps:
        now += passed
        match step:
            case "d":
                destination.note(POLICY, now, DONE)
            case "f":
                destination.note(POLICY, now, Ended(failures=3, tasks=2))
            case "F":
                destination.note(POLICY, now, FAILED_AGAIN)
            case "p" if destination.may_begin(now, is_probed=False) is None:
                destination.probe_ended(now, is_done=bool(passed % 2), chance=0.5)
            case "q":
                destination.leave_alone(now, passed)
            case "h":
                destination.hold(now)
            case "r":
                destination.release(now)
        words = destination.words()
        assert len(words) == WORDS
        assert all(0 <= word < 2**64 for word in words)
        assert Destination.of(words) == destination
        assert looked_at(words[0]) == (destination.state, destination.run, destination.openings)
        assert (destination.since_ns == 0) == (destination.state is State.CLOSED)
        assert destination.within_window()[1] <= destination.within_window()[0]


# A pool in front of a destination that goes and comes


@dataclass
class Pool:
    """Workers that share one destination: so many tasks a second arrive, and those that wait stand in one line.

    down: from when to when it fails what is tried, in seconds. flaky: this share of all that is tried fails besides.
    answers_probes: it does, also while it is down.
    began: (when, in which state, whether it was up).
    """

    rate: int
    down: tuple[float, float]
    rng: random.Random
    prober_dies: bool = False
    flaky: float = 0.0
    answers_probes: bool = False
    destination: Destination = field(default_factory=Destination)
    began: list[tuple[float, State, bool]] = field(default_factory=list)
    line: deque[int] = field(default_factory=deque)
    probing: int | None = None

    def run(self, seconds: int) -> None:
        self.events = [(number * SECOND_NS // self.rate, number, "come") for number in range(seconds * self.rate)]
        while self.events:
            at, task, what = heapq.heappop(self.events)
            match what:
                case "come":
                    self.line.append(task)
                    if len(self.line) == 1:
                        self.look(at)
                case "look" if self.line:
                    self.look(at)
                case "died":
                    self.probing = None
                    self.line.append(task)
                case "done" | "failed":
                    self.end(at, task, is_done=what == "done")

    def look(self, at: int) -> None:
        """The first in the line is tried, and the next one after it."""
        again_at = self.destination.may_begin(NOW + at, is_probed=self.probing is not None)
        if again_at is not None:
            heapq.heappush(self.events, (again_at - NOW, -1, "look"))
            return
        task = self.line.popleft()
        if self.line:
            heapq.heappush(self.events, (at, -1, "look"))
        state, is_up = self.destination.state, not self.down[0] <= at / SECOND_NS < self.down[1]
        self.began.append((at / SECOND_NS, state, is_up))
        what = "done" if is_up and self.rng.random() >= self.flaky else "failed"
        if state is State.OPEN:
            self.probing = task
            what = "done" if self.answers_probes else what
            if self.prober_dies:
                self.prober_dies, what = False, "died"
        heapq.heappush(self.events, (at + self.rng.randrange(SECOND_NS // 500, SECOND_NS // 50), task, what))

    def end(self, at: int, task: int, *, is_done: bool) -> None:
        if self.probing == task:
            self.probing = None
            self.destination.probe_ended(NOW + at, is_done=is_done, chance=self.rng.random())
        else:
            self.destination.note(POLICY, NOW + at, DONE if is_done else FAILED)
        if not is_done and self.destination.state is State.OPEN:
            self.events.append((at, task, "come"))
            heapq.heapify(self.events)

    def between(self, start: float, stop: float) -> int:
        return sum(start <= at < stop for at, _, _ in self.began)


@given(st.sampled_from([5, 20, 50]), st.integers(0, 10_000), st.booleans())
@settings(max_examples=30)
def test_a_pool_burns_no_attempt_is_back_soon_and_does_not_overshoot(rate: int, seed: int, prober_dies: bool) -> None:
    pool = Pool(rate, (15.0, 25.0), random.Random(seed), prober_dies=prober_dies)
    pool.run(60)
    burnt = [at for at, state, is_up in pool.began if not is_up and state is not State.OPEN]
    assert len(burnt) <= POLICY.least + rate * 0.02 + 1
    probes = [at for at, state, is_up in pool.began if not is_up and state is State.OPEN]
    assert 3 <= len(probes) <= 12
    assert pool.between(29.5, 30.5) >= 0.8 * rate
    assert max(pool.between(25 + tenth / 10, 26 + tenth / 10) for tenth in range(90)) <= 1.1 * rate + 2
    closed_from = next(at for at, state, _ in pool.began if at > 26 and state is State.CLOSED)
    assert closed_from <= 27.5 + RETURNS_IN_NS / SECOND_NS


def test_who_merely_fails_now_and_then_is_back_after_an_outage_at_its_former_rate() -> None:
    """By chance, half of its first ten attempts may fail: then it opens once more."""
    back = 0
    for seed in range(SEEDS):
        pool = Pool(20, (20.0, 24.0), random.Random(seed), flaky=0.15)
        pool.run(36)
        back += pool.between(33.0, 35.0) / 2 >= 0.9 * pool.rate
    assert back >= 0.95 * SEEDS


@given(st.sampled_from([5, 20, 50]), st.integers(0, 10_000))
@settings(max_examples=30)
def test_who_answers_probes_alone_costs_a_few_attempts_each_time(rate: int, seed: int) -> None:
    """It is down for good, but for one task in a while."""
    pool = Pool(rate, (15.0, 60.0), random.Random(seed), answers_probes=True)
    pool.run(40)
    burnt = [at for at, state, is_up in pool.began if not is_up and state is State.RETURNING]
    assert len(burnt) <= pool.destination.openings * (RUN_THAT_REOPENS + rate * 0.02 + 1)


def test_the_usual_rate_is_learnt_part_by_part_and_forgotten_when_nothing_comes() -> None:
    destination = Destination()
    for hundredth in range(3000):
        destination.note(POLICY, NOW + hundredth * SECOND_NS // 100, DONE)
    assert 95 <= destination.usual / 1000 <= 105
    part_ns = 10 * SECOND_NS // BUCKETS
    destination.note(POLICY, NOW + 30 * SECOND_NS + 40 * part_ns, DONE)
    assert destination.usual / 1000 < 20


def test_destinations_are_counted_by_consumer_and_state() -> None:
    table, nothing = SharedTable.create(ManualClock()), dict.fromkeys(State, 0)
    for consumer, name, state in (
        ("g/a", "x", State.OPEN),
        ("g/a", "y y", State.RETURNING),
        ("g/b", "x", State.CLOSED),
    ):
        with changing(table, prefix_of(consumer) + name) as found:
            assert found is not None
            found[0].state, found[0].changed_ns = state, NOW
            found[1].own[WAITING] = 3
    assert counts_by_consumer(table, NOW) == {
        "g/a": DestinationCounts({**nothing, State.OPEN: 1, State.RETURNING: 1}, 6),
        "g/b": DestinationCounts({**nothing, State.CLOSED: 1}, 3),
    }
    assert counts_by_consumer(table, NOW + RETURNS_IN_NS)["g/a"].states[State.CLOSED] == 1
