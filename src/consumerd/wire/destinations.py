"""Whether what some tasks need answers: the state of one destination, as all workers of a master share it. Pure.

A destination is *closed* while its tasks run. It is *open* once too many attempts have failed: its tasks wait. Then one
of them at a time is a *probe*, after growing pauses. The first that succeeds lets it *return*: tasks begin at a rate
that grows to the usual one, stays there for a while, grows on, and in the end is free; where it had only asked for
quiet, it is closed at once. Who is down again opens after a few failures in a row. A person may *hold* it open.

Times are nanoseconds of the machine's monotonic clock. The state is a row of words, so that it can stand in memory that
processes share; whoever changes it has the row for itself meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from consumerd.model.limits import SECOND_NS

FIRST_PAUSE_NS, LONGEST_PAUSE_NS = SECOND_NS // 2, 2 * SECOND_NS

LOOK_NS = SECOND_NS // 4
"""A task that waits asks again after so long, at most: another worker, or a person, may have changed the state."""

RAMP_NS = 2 * SECOND_NS
STEADY_NS = 10 * SECOND_NS
DOUBLES_IN_NS = 4 * SECOND_NS
RETURNS_IN_NS = 22 * SECOND_NS
"""After so long the usual rate is reached; so long it is kept; then it doubles so often; then it is no limit."""

FIRST_PART = 0.1
LEAST_RATE = 1.0
"""The ramp begins with this part of the usual rate; at least so many tasks a second."""

CREDIT_NS = SECOND_NS // 20
"""Who comes late to its turn by no more than this does not lose it."""

TASKS_THAT_OPEN = 3
"""What fails at fewer tasks may be their own fault."""

RUN_THAT_REOPENS, TASKS_THAT_REOPEN = 5, 2
"""Until the usual rate is reached, so many failures in a row, at so many tasks, show that it is still down."""

BUCKETS = 8
"""Into so many parts the window is cut: counts leave it part by part."""

WORDS = 12


class State(IntEnum):
    """Of a destination. No task begins at one that is away, but a probe."""

    CLOSED = 0
    OPEN = 1
    RETURNING = 2
    HELD = 3

    @property
    def is_away(self) -> bool:
        return self in (State.OPEN, State.HELD)


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a destination opens: `share` of at least `least` attempts within `window_s` have failed, or the last `least`
    have. max_quiet_s: so long it is left alone at one request, at most.
    """

    share: float
    least: int
    window_s: float
    max_quiet_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Ended:
    """Attempts that have ended, the failures last. tasks: how many of these were the first attempt at their task: of a
    task that fails again and again, this one alone counts in the window.
    """

    done: int = 0
    failures: int = 0
    tasks: int = 0


@dataclass(slots=True)
class Destination:
    """The state of one, taken from its row, changed, and written back.

    openings: how often it opened; an attempt that began before the last time says nothing of how it is now.
    run, run_tasks: so many attempts have failed since one succeeded, at so many tasks.
    since_ns: when it opened; it has not been closed since. changed_ns: when the state became what it is.
    next_ns: when the next probe, or the next task of a ramp, may begin.
    pause_ns: until the next probe, once one has failed.
    usual: at how many tasks a second a first attempt is made as a rule, in thousandths; 0: not known.
    attempts, failures: what opened it: so many of the attempts within the window, or all of the last ones; none where
    it has asked to be left alone.
    bucket: the number of the newest part of the window; counts: of each part, (attempts, failures).
    """

    state: State = State.CLOSED
    openings: int = 0
    run: int = 0
    run_tasks: int = 0
    since_ns: int = 0
    changed_ns: int = 0
    next_ns: int = 0
    pause_ns: int = 0
    usual: int = 0
    attempts: int = 0
    failures: int = 0
    bucket: int = 0
    counts: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * BUCKETS)

    @classmethod
    def of(cls, words: Sequence[int]) -> Destination:
        """What a row says."""
        state, run, openings = looked_at(words[0])
        run_tasks, usual = divmod(words[5], 1 << 32)
        attempts, failures = divmod(words[6], 1 << 32)
        counts = [(word >> shift & _HALF, word >> shift + 16 & _HALF) for word in words[8:WORDS] for shift in (0, 32)]
        since_ns, changed_ns, next_ns, pause_ns = words[1:5]
        return cls(
            state=state,
            openings=openings,
            run=run,
            run_tasks=run_tasks,
            since_ns=since_ns,
            changed_ns=changed_ns,
            next_ns=next_ns,
            pause_ns=pause_ns,
            usual=usual,
            attempts=attempts,
            failures=failures,
            bucket=words[7],
            counts=counts,
        )

    def words(self) -> list[int]:
        """The row."""
        first = self.state | min(self.run, _RUN) << 8 | (self.openings & _OPENINGS) << 32
        usual = min(self.usual, _OPENINGS) | min(self.run_tasks, _RUN) << 32
        opened = min(self.failures, _OPENINGS) | min(self.attempts, _OPENINGS) << 32
        halves = [min(attempts, _HALF) | min(failures, _HALF) << 16 for attempts, failures in self.counts]
        counts = [low | high << 32 for low, high in zip(halves[::2], halves[1::2], strict=True)]
        return [first, self.since_ns, self.changed_ns, self.next_ns, self.pause_ns, usual, opened, self.bucket, *counts]

    # Before an attempt

    def may_begin(self, now: int, *, is_probed: bool) -> int | None:
        """None where a task may begin, as a probe where it is open; else when to ask again.

        is_probed: a probe is on its way.
        """
        if self.has_returned(now):
            self._close(now)
        if self.state is State.CLOSED:
            return None
        if self.state is State.HELD or (self.state is State.OPEN and is_probed):
            return now + LOOK_NS
        if now < self.next_ns:
            return min(self.next_ns, now + LOOK_NS)
        if self.state is State.RETURNING:
            self.next_ns = max(self.next_ns, now - CREDIT_NS) + int(SECOND_NS / self.rate(now))
        return None

    def has_returned(self, now: int) -> bool:
        """Whether it returns, and has for so long that it is as closed."""
        return self.state is State.RETURNING and now >= self.changed_ns + RETURNS_IN_NS

    def shown(self, now: int) -> State:
        """The state, as people are told it."""
        return State.CLOSED if self.has_returned(now) else self.state

    def rate(self, now: int) -> float:
        """How many tasks a second may begin while it returns."""
        passed = now - self.changed_ns
        if not self.usual:
            return LEAST_RATE * math.pow(2.0, passed / RAMP_NS)
        usual = max(self.usual / 1000, LEAST_RATE)
        if passed < STEADY_NS:
            return usual * min(1.0, FIRST_PART + (1 - FIRST_PART) * passed / RAMP_NS)
        return usual * math.pow(2.0, (passed - STEADY_NS) / DOUBLES_IN_NS)

    # After attempts

    def note(self, policy: BreakerPolicy, now: int, ended: Ended) -> None:
        """These have ended that began where it was closed, or while it returned."""
        if self.has_returned(now):
            self._close(now)
        if self.state.is_away:
            return
        self._roll(policy, now)
        attempts, failures = self.counts[self.bucket % BUCKETS]
        self.counts[self.bucket % BUCKETS] = (attempts + ended.done + ended.tasks, failures + ended.tasks)
        if ended.done:
            self.run = self.run_tasks = 0
        self.run += ended.failures
        self.run_tasks += ended.tasks
        if ended.failures and (why := self._too_much(policy, now)) is not None:
            self._open(now, why)

    def _too_much(self, policy: BreakerPolicy, now: int) -> tuple[int, int] | None:
        """The attempts, and those that failed, where they are too many."""
        least_tasks = min(policy.least, TASKS_THAT_OPEN)
        attempts, failures = self.within_window()
        if attempts >= policy.least and failures >= max(least_tasks, policy.share * attempts):
            return attempts, failures
        run = policy.least
        if self.state is State.RETURNING and now < self.changed_ns + RAMP_NS:
            run, least_tasks = min(run, RUN_THAT_REOPENS), TASKS_THAT_REOPEN
        return (self.run, self.run) if self.run >= run and self.run_tasks >= least_tasks else None

    def within_window(self) -> tuple[int, int]:
        """The attempts in it, and those that failed."""
        return sum(attempts for attempts, _ in self.counts), sum(failures for _, failures in self.counts)

    def _roll(self, policy: BreakerPolicy, now: int) -> None:
        """Let go of what has left the window; learn the usual rate from each part in which it was closed throughout."""
        part_ns = max(1, int(policy.window_s * SECOND_NS) // BUCKETS)
        newest = now // part_ns
        if newest - self.bucket > 2 * BUCKETS:
            self.bucket, self.counts = newest - 2 * BUCKETS, [(0, 0)] * BUCKETS
        for number in range(self.bucket, newest):
            if self.state is State.CLOSED and number * part_ns >= self.changed_ns:
                self._learn(self.counts[number % BUCKETS][0] * 1000 * SECOND_NS // part_ns)
            self.counts[(number + 1) % BUCKETS] = (0, 0)
        self.bucket = max(self.bucket, newest)

    def _learn(self, rate: int) -> None:
        self.usual = self.usual + (rate - self.usual) // BUCKETS if self.usual else rate

    def probe_ended(self, now: int, *, is_done: bool, chance: float) -> None:
        """Nothing where a person has decided meanwhile. chance: 0 to 1; what went together is not asked in step."""
        if self.state is not State.OPEN:
            return
        if not is_done:
            self.attempts, self.failures = self.attempts or 1, self.failures or 1
            self._pause(now, chance)
        elif self.attempts:
            self._return(now)
        else:
            self._close(now)

    def leave_alone(self, now: int, for_ns: int) -> None:
        """It has asked for quiet: it opens, if it is not open yet, and nobody probes it before that is over."""
        if not self.state.is_away:
            self._open(now, (0, 0))
        self.next_ns = max(self.next_ns, now + for_ns)

    # By hand

    def hold(self, now: int) -> None:
        """Keep it open until `release`."""
        if not self.state.is_away:
            self._open(now, self.within_window())
        self._become(State.HELD, now)

    def release(self, now: int) -> None:
        """Let it return, whatever was found. Nothing where its tasks run."""
        if self.state.is_away:
            self._return(now)

    # From state to state

    def _open(self, now: int, why: tuple[int, int]) -> None:
        if self.state is State.CLOSED:
            self.since_ns, self.pause_ns = now, FIRST_PAUSE_NS
        self.attempts, self.failures = why
        self._become(State.OPEN, now)
        self.openings += 1
        self._pause(now, 0.0)

    def _pause(self, now: int, chance: float) -> None:
        self.next_ns = now + int(self.pause_ns * (1 - chance / 2))
        self.pause_ns = min(2 * self.pause_ns, LONGEST_PAUSE_NS)

    def _return(self, now: int) -> None:
        self._become(State.RETURNING, now)
        self.next_ns = now

    def _close(self, now: int) -> None:
        self._become(State.CLOSED, now)
        self.since_ns = 0

    def _become(self, state: State, now: int) -> None:
        """What was counted in another state says nothing in this one."""
        self.state, self.changed_ns = state, now
        self.counts = [(0, 0)] * BUCKETS
        self.run = self.run_tasks = 0


_HALF, _RUN, _OPENINGS = (1 << 16) - 1, (1 << 24) - 1, (1 << 32) - 1


def looked_at(word: int) -> tuple[State, int, int]:
    """The state, the failures in a row and the number of openings, of a row's first word, which is read whole."""
    return State(word & 0xFF), word >> 8 & _RUN, word >> 32
