"""One task on its way to an outcome, and what became of it. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import NamedTuple

from consumerd.errors import UndecodableError
from consumerd.model.failure import Failure
from consumerd.model.outcome import Dead, Done, Outcome, Retry
from consumerd.model.task import Task
from consumerd.sources.decoding import TOMBSTONE
from consumerd.wire.figures.recorder import NOT_RUN, Ran
from consumerd.worker.attempts.tracer import AttemptSpan

Handler = Callable[..., object]

VERDICTS = (Retry, Dead)
"""What a handler returns or raises to decide its outcome; any other value that it returns means done."""

Decode = Callable[[bool], object]
"""Makes a record of the task's payload. Told that it is made again, a new one: a handler may change what it gets."""

ENDS_OF_A_WORKER = (SystemExit, KeyboardInterrupt, BrokenPipeError)
"""What an attempt may raise because its worker is to end, which is no fault of the task: the user's own handler of a
signal raises it, or a print to a stderr that nobody reads since the master is gone."""


@dataclass(frozen=True, slots=True)
class Raised:
    """What is kept of an error that ended an attempt; the error itself would hold all that the handler held.

    connection: see `connection_error`.
    place: where it was raised, by which one error is known again.
    verdict: what the handler raised to decide the outcome itself; None where it raised anything else.
    """

    kind: type[BaseException]
    failure: Failure
    connection: str = ""
    place: str = ""
    verdict: Retry | Dead | None = None

    def after(self, own: Failure | None) -> Raised:
        """The same where a record was refused that was none before: the handler's own error stays in front."""
        if own is None:
            return self
        error = f"{own.error} (before the next attempt its record was refused: {self.failure.error})"
        return replace(self, failure=replace(own, error=error))


@dataclass(frozen=True, slots=True)
class Refused:
    """The payload makes no record: there was no attempt.

    misfit: what the consumer's model has against it; empty where the payload cannot be read at all.
    """

    failure: Failure
    misfit: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An operator has ended the attempt. does_park: the task is not to be run again; else it is, at once. log: what the
    attempt had logged.
    """

    does_park: bool
    log: str = ""


Failed = Raised | Refused | Retry | Dead | Cancelled
Ending = Failed | Done
"""How one attempt ended."""


class Unfinished(Enum):
    """Why a task came to no outcome: its worker leaves it, and it comes again.

    UNTRIED: no attempt was made, because what its tasks need did not answer.
    BETWEEN_ATTEMPTS: a further attempt was to follow.
    CUT_OFF: its attempt ended with its worker, which is no fault of the task.
    """

    UNTRIED = auto()
    BETWEEN_ATTEMPTS = auto()
    CUT_OFF = auto()


class Conclusion(NamedTuple):
    """What became of a task, after all its immediate attempts.

    task: with the attempts that were made, and when the first was.
    failure: why it is not done; None where it is.
    crashes: how many workers the task has killed, where it is not to run again.
    was_tried: whether an attempt was made; one that is put off has not failed.
    is_asked: the handler asked for its retry, which is no failure either.
    is_new: it had not been put off before.
    ran: how long its attempts took.
    """

    task: Task
    outcome: Outcome | Unfinished
    failure: Failure | None = None
    crashes: int = 0
    was_tried: bool = True
    is_asked: bool = False
    is_new: bool = True
    ran: Ran = NOT_RUN

    @property
    def counted(self) -> Mapping[str, bool]:
        """How a board counts it."""
        return {"was_tried": self.was_tried, "is_asked": self.is_asked, "is_new": self.is_new}


@dataclass(slots=True, eq=False)
class Attempt:
    """A task in the hands of a worker: it is attempted, judged, and perhaps attempted again.

    has_record: whether the payload has been decoded once.
    is_prepared: whether `pre_handle_task` has been called for it, and has succeeded.
    ended: how the last attempt ended, until that is judged; None: the next one is to be made.
    first_at: when it was taken in hand, or, of a task that was tried before, when that was first.
    failure: how the attempt before that failed; None at first.
    tried: how many attempts were judged here.
    not_before: when to go on, on the monotonic clock; None: at once, and nothing breaks in.
    took_s: how long the handler ran in the last attempt, until that is judged; None: it was not called, or nobody
        has measured it.
    ran: how long those took that were judged.
    span: of the last attempt, where that was traced; all further ones are, too.
    has_heard: whether it was waited for the news of a stop, where the attempt seems to have ended with its worker.
    """

    task: Task
    decode: Decode
    has_record: bool = False
    ended: Failed | None = None
    first_at: float = 0.0
    failure: Failure | None = None
    tried: int = 0
    not_before: float | None = None
    took_s: float | None = None
    ran: Ran = NOT_RUN
    span: AttemptSpan | None = None
    has_heard: bool = False
    is_prepared: bool = False
    _peeked: object = None

    def peek(self) -> object:
        """The record of the first attempt, ahead of it; or whatever the decoder raises."""
        if self._peeked is None:
            self._peeked = self.decode(False)
        return self._peeked

    def record(self) -> object:
        """The record of the next attempt, or whatever the decoder raises; TOMBSTONE for a task without a payload."""
        is_again, self.has_record = self.has_record, True
        peeked, self._peeked = self._peeked, None
        if peeked is not None and not is_again:
            return peeked
        try:
            return self.decode(is_again)
        except UndecodableError:
            if self.task.is_tombstone:
                return TOMBSTONE
            raise

    def forget(self) -> None:
        """The last attempt is judged: the next one is to be made."""
        self.ended, self.has_heard = None, False

    def begin_anew(self) -> None:
        """The next attempt is the first of another round."""
        if isinstance(self.ended, Raised):
            self.failure = self.ended.failure
        self.forget()
        self.tried = 0

    def unfinished(self) -> Conclusion:
        """What is to say of it where its worker leaves it now."""
        if isinstance(self.ended, Raised):
            return Conclusion(self.task, Unfinished.CUT_OFF, self.ended.failure)
        if self.failure is not None:
            return Conclusion(self.task, Unfinished.BETWEEN_ATTEMPTS, self.failure)
        untried = Failure("it was not tried: what its tasks need did not answer")
        return Conclusion(self.task, Unfinished.UNTRIED, untried)


def refused_value(result: object, handler: str = "handle_task") -> TypeError | None:
    """An error for a handler's result that shows that the handler's body never ran: a coroutine, a generator."""
    if isinstance(result, (Coroutine, Generator, AsyncGenerator)):
        kind = type(result).__name__
        if isinstance(result, Coroutine):
            result.close()
        return TypeError(f"{handler} returned a {kind}, so its body never ran: make it `async def`, without yield")
    return None
