"""What is said of a task whose handler decided its outcome itself. Runs in workers and the foreground."""

from __future__ import annotations

from consumerd.model.failure import Failure, Redact, cause_of, describe, one_line
from consumerd.model.outcome import Dead, Retry
from consumerd.worker.attempts.attempt import Raised


def words_of(verdict: Retry | Dead) -> str:
    """One line."""
    return f"the handler gave up: {verdict.reason}" if isinstance(verdict, Dead) else "the handler asked for a retry"


def raised_verdict(error: Retry | Dead, redact: Redact) -> Raised:
    """What is kept of a verdict that was raised: with the error that it was raised for, where there is one."""
    verdict = Dead(error.reason) if isinstance(error, Dead) else Retry(error.after)
    cause = cause_of(error)
    why = "" if cause is None else f" ({one_line(cause, redact)})"
    failure = Failure(f"{redact(words_of(verdict))}{why}", describe(error, redact).traceback)
    return Raised(type(error), failure, verdict=verdict)
