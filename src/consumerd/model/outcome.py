"""What becomes of a task after an attempt: a closed set, matched exhaustively, and the policy that decides.

A handler returns or raises `Retry` or `Dead` to say so itself; any other value it returns is *done*. For an attempt
that failed the policy has two stages, as in the post. *Immediate* retries are made in the worker,
`RETRY_BASIC_INTERVAL` × tried apart. Then, where the consumer has a `back_off_time`, come *deferred* ones: the delay
doubles from `back_off_time` to `max_back_off_time`, until `expire_time` has passed since the first attempt.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.model.by_error import ALL_RETRIED, ByError

LONGEST_AFTER_S = 30 * 24 * 60 * 60.0
"""No retry waits longer: thirty days."""

_LARGEST_EXPONENT = 62

LARGEST_JITTER = 0.2
"""The part of a deferred delay by which it may be shorter."""


@dataclass(frozen=True, slots=True)
class Done:
    """The handler returned: the task is finished."""


@dataclass(unsafe_hash=True)
class Retry(Exception):  # noqa: N818 - what is to be done, and no error
    """Try again later. Returned or raised.

    after: seconds from now until the task is due.
    destination: what the task needs wants to be left alone for so long: none of its tasks begins before.
    """

    after: float = 0.0
    destination: bool = False

    def __post_init__(self) -> None:
        """ValueError, where the handler made it, for what is no number of seconds within LONGEST_AFTER_S."""
        after: object = self.after
        is_number = isinstance(after, (int, float)) and not isinstance(after, bool)
        if not is_number or not 0 <= self.after <= LONGEST_AFTER_S:
            raise ValueError(f"Retry(after=…) wants seconds from 0 to {LONGEST_AFTER_S:.0f}")
        if not isinstance(self.destination, bool):
            raise ValueError("Retry(destination=…) wants True or False: whether what the task needs wants quiet")
        super().__init__(self.after)


@dataclass(unsafe_hash=True)
class Dead(Exception):  # noqa: N818 - what is to be done, and no error
    """Do not try again: park the task until a person decides. Returned or raised."""

    reason: str = ""

    def __post_init__(self) -> None:
        """TypeError, where the handler made it, for a reason that is no text."""
        reason: object = self.reason
        if not isinstance(reason, str):
            raise TypeError(f"Dead(reason) wants text, not {type(reason).__name__}")
        super().__init__(self.reason)


class TaskInterrupted(BaseException):
    """Raised within a handler whose attempt is to end: it is past `soft_timeout`, or an operator cancels it.

    It passes a broad `except Exception`, and so it should: whoever tries a call again after any error, as many clients
    do, would go on with a task that is to end; and SQLAlchemy gives no connection back on which it has cut off a
    statement. Roll back in a `finally`, by a `with`, or catch this class and raise it again.
    """

    def __str__(self) -> str:
        return "consumerd ends this attempt: it is past soft_timeout, or an operator has cancelled it"


@dataclass(frozen=True, slots=True)
class Expired:
    """Its deferred retries took longer than `expire_time`: parked as dead, with that reason."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Parked already, so nothing ran."""


Outcome = Done | Retry | Dead | Expired | Skipped

DONE = Done()
SKIPPED = Skipped()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed task is tried again.

    retry_times: immediate retries after a first failure.
    basic_interval_s: the immediate retries' linear step.
    back_off_s: the first deferred delay; None: no deferred retry.
    max_back_off_s: the longest deferred delay; expire_s: how long deferred retries go on; None: no bound.
    by_error: which errors it is for.
    """

    retry_times: int = 0
    basic_interval_s: float = 0.1
    back_off_s: float | None = None
    max_back_off_s: float | None = None
    expire_s: float | None = None
    by_error: ByError = ALL_RETRIED

    @property
    def attempts_a_round(self) -> int:
        """How many attempts are made in a row before the task is deferred."""
        return self.retry_times + 1


def immediate_delay(policy: RetryPolicy, tried: int) -> float:
    """Seconds to wait after the failure number `tried` (from 0) of a round; the post's linear back-off."""
    return policy.basic_interval_s * tried


def deferred_delay(policy: RetryPolicy, round_number: int) -> float:
    """Seconds until the round after `round_number` (from 1), at the longest: doubling, capped."""
    assert policy.back_off_s is not None
    cap = LONGEST_AFTER_S if policy.max_back_off_s is None else min(policy.max_back_off_s, LONGEST_AFTER_S)
    exponent = min(max(round_number, 1) - 1, _LARGEST_EXPONENT)
    return min(policy.back_off_s * float(2**exponent), cap)


def next_in_round(policy: RetryPolicy, attempts: int) -> Retry | None:
    """Where immediate retries are made through the parking store: the next of this round, or None after the last.

    For a source that gives its tasks away: from its first failed attempt on, the task is kept.
    """
    tried = (attempts - 1) % policy.attempts_a_round
    if tried >= policy.retry_times:
        return None
    return Retry(after=min(immediate_delay(policy, tried), LONGEST_AFTER_S))


def after_round(policy: RetryPolicy, attempts: int, first_at: float, now: float, *, jitter: float = 0.0) -> Outcome:
    """What becomes of a task whose round of immediate attempts has failed.

    attempts: all attempts so far, of this and earlier rounds; first_at and now: seconds on one clock.
    jitter: drawn from [0, 1) for each task, so that those that failed together do not all come back at one moment.
    """
    if policy.back_off_s is None:
        return Dead(f"failed {attempts} time(s), and no deferred retry is configured")
    round_number = -(-attempts // policy.attempts_a_round)
    delay = deferred_delay(policy, round_number) * (1 - LARGEST_JITTER * jitter)
    return within_expiry(policy, delay, first_at, now)


def within_expiry(policy: RetryPolicy, delay: float, first_at: float, now: float) -> Outcome:
    """A retry after `delay`, or Expired where that is later than `expire_time` allows."""
    if policy.expire_s is not None and now + delay > first_at + policy.expire_s:
        return Expired(f"its retries would go on past expire_time ({policy.expire_s:g} s after the first attempt)")
    return Retry(after=max(0.0, delay))
