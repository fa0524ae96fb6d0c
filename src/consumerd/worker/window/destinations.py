"""Destinations: what tasks need, a game server perhaps, and whether it answers. Runs in workers and the foreground.

What is known of one is a row of the table that all workers of the master share. Whether it is closed is read without a
lock, before each attempt; what has been done is told now and then, what has failed at once.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from consumerd import events
from consumerd.model.by_error import ByError, Errors, Listed
from consumerd.model.limits import SECOND_NS
from consumerd.model.outcome import Dead, Done, Retry
from consumerd.model.task import TaskId
from consumerd.wire.destination_rows import PROBING, USED, WAITING, changing, prefix_of
from consumerd.wire.destinations import BreakerPolicy, Destination, Ended, State, looked_at
from consumerd.wire.shared_table import Row
from consumerd.worker.attempts.attempt import ENDS_OF_A_WORKER, Attempt, Cancelled, Conclusion, Ending, Raised, Refused
from consumerd.worker.attempts.judge import ENDS_OF_A_TRANSACTION
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.due import LOOK_OTHERWISE_S
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.lineup import Lineup
from consumerd.worker.window.putting_off import Away, PuttingOff

NOBODYS_FAULT = (*ENDS_OF_A_WORKER, *ENDS_OF_A_TRANSACTION)

TELL_S = 0.25
"""What has been done is told so often."""

ASK_AGAIN_S = 0.005
FORGOTTEN_S = 600.0
"""So long after the last task nothing is known any more of a destination that is closed."""

LONGEST_OUTAGE_S = 86_400.0

MOST_KNOWN = 1000
MOST_SPARED = 100
"""So many tasks of a destination, at most, are tried again that have died while it was not known to be down."""

NOTHING = Ended()


@dataclass(slots=True, eq=False)
class Known:
    """A destination, as this worker knows it.

    untold: what has ended, since it opened so often, and is not in the row yet.
    probe: the task of its own that is the probe.
    failed: when a first attempt has failed at which task while it was closed, and had opened so often.
    """

    name: str
    row: Row
    openings: int = 0
    untold: Ended = NOTHING
    tell_at: float = 0.0
    probe: InHand | None = None
    failed: deque[tuple[float, int, TaskId]] = field(default_factory=lambda: deque(maxlen=MOST_SPARED))


class Destinations:
    """The `Rule` of one worker whose tasks name their destinations."""

    def __init__(
        self,
        context: WorkerContext,
        policy: BreakerPolicy,
        name_of: Callable[[Attempt], str],
        lineup: Lineup[InHand],
        putting_off: PuttingOff,
        revive: Callable[[Iterable[TaskId]], object],
        *,
        by_error: ByError,
        failures: Errors = (),
    ) -> None:
        """name_of: what a task needs; empty where that is nothing. revive: has tasks that have died tried again.

        by_error: which errors are retried. failures: those that show that it is down; none: all of these, and `Retry`.
        """
        self._table = context.table
        self._emit = context.emit
        self._clock = context.clock
        self._policy = policy
        self._name_of = name_of
        self._lineup = lineup
        self._putting_off = putting_off
        self._revive = revive
        self._spare_at = 0.0
        self._by_error = by_error
        self._failures = failures
        self._prefix = prefix_of(context.name)
        self._known: dict[str, Known] = {}

    # As `rules.Rule` has it

    def gate(self, task: InHand) -> str | None:
        if self not in task.gates:
            name = self._name_of(task.attempt)
            task.gates[self] = self._prefix + name if name else None
        row_name: str | None = task.gates[self]
        return row_name

    def enter(self, task: InHand, now: float) -> float | None:
        known = self._know(task)
        if known is None:
            return None  # there is no place for it: nothing is known, and nothing kept
        state, _, task.openings = looked_at(known.row.words[0])
        if state is State.CLOSED:
            return None
        with self._changing(known, now) as destination:
            if destination is None:
                return now + ASK_AGAIN_S
            own = known.row.own
            again_ns = destination.may_begin(int(now * SECOND_NS), is_probed=any(known.row.of_all(PROBING)))
            if again_ns is None and destination.state is State.OPEN:
                known.probe, own[PROBING] = task, 1
            task.openings = destination.openings
            own[WAITING] = self._lineup.held_at(known.name) + (again_ns is not None)
        return None if again_ns is None else again_ns / SECOND_NS

    def leave(self, task: InHand, *, was_begun: bool) -> bool:
        known = self._known.get(self.gate(task) or "")
        if known is None:
            return False
        is_probe, is_done = known.probe is task, self._shows(task.ended) if was_begun else None
        if is_probe:
            known.probe = None
            known.row.own[PROBING] = 0
        if is_done is None:
            return False
        now = self._clock.monotonic()
        if is_done:
            self._note_done(known, task, now, is_probe=is_probe)
            return False
        return self._note_failed(known, task, now, is_probe=is_probe)

    def put_off(self, is_left: Callable[[InHand], bool] | None) -> Iterator[tuple[InHand, Conclusion]]:
        """Those that are put off now, and not in the line-up any more. is_left: tasks that the worker leaves."""
        if is_left is not None:
            return self._putting_off.when_left(self._away(), is_left)
        self._spare()
        return self._putting_off.when_full(self._away())

    def _spare(self) -> None:
        """Where a destination has opened, nobody has died of the attempts that have shown it."""
        now = self._clock.monotonic()
        if now < self._spare_at:
            return
        self._spare_at = now + TELL_S
        for known in self._known.values():
            if known.failed and known.failed[0][1] != (openings := looked_at(known.row.words[0])[2]):
                since = now - self._policy.window_s - LOOK_OTHERWISE_S
                self._revive([task_id for at, was, task_id in known.failed if at >= since and was != openings])
                known.failed.clear()

    def _away(self) -> Iterator[Away]:
        """Those that are not closed."""
        now = self._clock.monotonic()
        for name, known in self._known.items():
            if known.row.words[0] & 0xFF:
                destination = Destination.of(known.row.words)
                is_returning = destination.state is State.RETURNING
                yield Away(name, now - destination.since_ns / SECOND_NS, is_returning)

    # What attempts show

    def _shows(self, ended: Ending | None) -> bool | None:
        """Whether the destination has answered; None where it does not show."""
        if isinstance(ended, Raised):
            ended = ended.verdict or ended
        match ended:
            case Done() | Dead():
                return True
            case Retry(destination=wants_quiet):
                return bool(self._failures) and not wants_quiet
            case Raised() if not issubclass(ended.kind, NOBODYS_FAULT):
                return self._is_of_the_record(ended) if not self._failures else self._is_other(ended)
            case Raised() | Refused() | Cancelled() | None:
                return None

    def _is_of_the_record(self, ended: Raised) -> bool:
        """The lists say that no further attempt helps: it has answered that the record is wrong."""
        return not ended.connection and self._by_error.list_of(ended.kind) is not Listed.RETRIED

    def _is_other(self, ended: Raised) -> bool | None:
        return False if issubclass(ended.kind, self._failures) else None

    def _note_done(self, known: Known, task: InHand, now: float, *, is_probe: bool) -> None:
        _, failures_in_a_row, openings = looked_at(known.row.words[0])
        if openings != task.openings:
            return  # it began before the destination opened, and says nothing of how it is now
        untold = self._untold(known, openings)
        known.untold = Ended(untold.done + 1, untold.failures, untold.tasks)
        if is_probe or failures_in_a_row or now >= known.tell_at:
            self._tell(known, now, is_probe=is_probe, is_done=True)

    def _note_failed(self, known: Known, task: InHand, now: float, *, is_probe: bool) -> bool:
        """Whether the failure is not the task's: it is tried again when its destination is back."""
        is_new = task.task.attempts <= task.attempt.tried
        if looked_at(known.row.words[0])[2] == task.openings:
            untold = self._untold(known, task.openings)
            known.untold = Ended(untold.done, untold.failures + 1, untold.tasks + (task.attempt.tried == 0))
            error = task.ended.failure.error if isinstance(task.ended, Raised) else "the handler asked for a retry"
            if (quiet_s := _quiet_s(task.ended)) is not None:
                error = f"it asked to be left alone for {quiet_s:g} s"
            self._tell(known, now, is_probe=is_probe, is_done=False, error=error, quiet_s=quiet_s, is_new=is_new)
        if not isinstance(task.ended, Raised) or task.ended.verdict is not None:
            return False
        state, _, openings = looked_at(known.row.words[0])
        is_away = state.is_away or openings != task.openings
        if not is_away and task.task.id is not None and is_new:
            known.failed.append((now, openings, task.task.id))
        return is_away

    def _untold(self, known: Known, openings: int) -> Ended:
        if known.openings != openings:
            known.openings, known.untold = openings, NOTHING
        return known.untold

    def _tell(
        self, known: Known, now: float, *, is_probe: bool, is_done: bool,
        error: str = "", quiet_s: float | None = None, is_new: bool = True,
    ) -> None:  # fmt: skip
        """Bring what has ended into the row; what does not get there now is told the next time.

        is_new: the task had not failed before. One that asks for quiet again and again speaks for itself alone.
        """
        now_ns = int(now * SECOND_NS)
        with self._changing(known, now, error) as destination:
            if destination is None:
                return
            was_closed = destination.shown(now_ns) is State.CLOSED
            if is_probe:
                destination.probe_ended(now_ns, is_done=is_done, chance=random.random())  # noqa: S311 - it only spreads
            else:
                destination.note(self._policy, now_ns, known.untold)
            if quiet_s is not None and (is_new or (was_closed and destination.state.is_away)):
                destination.leave_alone(now_ns, int(min(quiet_s, self._policy.max_quiet_s) * SECOND_NS))
            known.untold, known.tell_at = NOTHING, now + TELL_S
            known.row.own[WAITING] = self._lineup.held_at(known.name)
            forgotten_s = FORGOTTEN_S if destination.state is State.CLOSED else LONGEST_OUTAGE_S
            known.row.idle_from(now_ns + int(forgotten_s * SECOND_NS))

    # Rows

    def _know(self, task: InHand) -> Known | None:
        name = self.gate(task) or ""
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._forget_one()
            with self._table.changing(name) as row:
                if row is None:
                    return None
                row.own[USED] = 1
                known = self._known[name] = Known(name, row)
        return known

    def _forget_one(self) -> None:
        """Leave the row of the destination that has been known longest, and of which no task waits or is a probe."""
        for name, known in self._known.items():
            if known.probe is None and not self._lineup.held_at(name):
                for word in range(len(known.row.own)):
                    known.row.own[word] = 0
                del self._known[name]
                return

    @contextmanager
    def _changing(self, known: Known, now: float, error: str = "") -> Iterator[Destination | None]:
        """The state, written back when the block ends, and told of where it opens or is closed; None: not now."""
        with changing(self._table, known.name) as changed:
            if changed is None:
                yield None
                return
            destination, known.row = changed  # who has come since it was found has words in it, too
            was, since_ns = destination.state, destination.since_ns
            yield destination
        if was.is_away is not destination.state.is_away:
            self._tell_of(known.name.removeprefix(self._prefix), destination, now - since_ns / SECOND_NS, error)

    def _tell_of(self, name: str, destination: Destination, away_s: float, error: str) -> None:
        """It has opened, or closed after so long."""
        if destination.state.is_away:
            attempts, failures = destination.attempts, destination.failures
            fact = events.destination_opened(destination=name, failures=failures, attempts=attempts, error=error)
        else:
            fact = events.destination_closed(destination=name, away_s=round(away_s, 3))
        self._emit(fact)


def _quiet_s(ended: Ending | None) -> float | None:
    """For so long the destination wants to be left alone, as the handler says; None where it does not say so."""
    said = ended.verdict if isinstance(ended, Raised) else ended
    return said.after if isinstance(said, Retry) and said.destination else None
