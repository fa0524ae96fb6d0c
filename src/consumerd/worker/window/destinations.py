"""Destinations: what tasks need, a game server perhaps, and whether it answers. Runs in workers and the foreground.

What is known of one is a row of the table that all workers of the master share. Whether it is closed is read without a
lock, before each attempt; what has been done is told now and then, what has failed at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from consumerd import events
from consumerd.model.destinations import (
    SECOND_NS,
    WORDS,
    BreakerPolicy,
    Destination,
    Ended,
    State,
    looked_at,
)
from consumerd.model.outcome import Dead, Done
from consumerd.wire.shared_table import Row
from consumerd.worker.attempts.attempt import ENDS_OF_A_WORKER, Ending, Raised, Refused
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.window.in_hand import InHand

ROW_PREFIX = "destination"
"""How the names of its rows begin: `destination GROUP/NAME DESTINATION`."""

USED, PROBING, WAITING = range(3)
"""Words of each worker's own in a row: that it knows the row, that its probe is on its way, how many tasks wait."""

TELL_S = 0.25
"""What has been done is told so often."""

ASK_AGAIN_S = 0.005
FORGOTTEN_S = 600.0
"""So long after the last task nothing is known any more of a destination that is closed."""

MOST_KNOWN = 1000


@dataclass(slots=True, eq=False)
class Known:
    """A destination, as this worker knows it.

    untold: what has ended and is not in the row yet. probe: the task of its own that is the probe.
    done_at: when a task was done there last, wall time.
    """

    name: str
    row: Row
    untold: Ended = Ended()
    tell_at: float = 0.0
    probe: InHand | None = None
    done_at: float | None = None


class Destinations:
    """The `Rule` of one worker whose tasks name their destinations."""

    def __init__(
        self,
        context: WorkerContext,
        policy: BreakerPolicy,
        name_of: Callable[[InHand], str],
        waiting_at: Callable[[str], int],
        failures: tuple[type[BaseException], ...] = (),
    ) -> None:
        """name_of: what a task needs; empty where that is nothing. waiting_at: how many wait at a gate.

        failures: the errors that show that it is down; none: all do, and `Retry`.
        """
        self._table = context.table
        self._emit = context.emit
        self._clock = context.clock
        self._policy = policy
        self._name_of = name_of
        self._waiting_at = waiting_at
        self._failures = failures
        self._prefix = f"{ROW_PREFIX} {context.name} "
        self._known: dict[str, Known] = {}

    # As `rules.Rule` has it

    def gate(self, task: InHand) -> str | None:
        if task.destination is None:
            name = self._name_of(task)
            task.destination = self._prefix + name if name else ""
        return task.destination or None

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
            own[WAITING] = self._waiting_at(known.name) + (again_ns is not None)
        return None if again_ns is None else again_ns / SECOND_NS

    def leave(self, task: InHand, *, was_begun: bool) -> bool:
        known = self._known.get(task.destination or "")
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
            self._note_done(known, now, is_probe=is_probe)
            return False
        return self._note_failed(known, task, now, is_probe=is_probe)

    def is_at_fault(self, task: InHand) -> bool:
        """Whether a connection error may be laid to the task: another one was done there since it was first tried."""
        known = self._known.get(task.destination or "")
        return known is None or (known.done_at is not None and known.done_at > task.attempt.first_at)

    def open_for_s(self, gate: str) -> float:
        """For how long the destination has been open, or has been returning; 0 where it is closed."""
        known = self._known.get(gate)
        since_ns = 0 if known is None else Destination.of(known.row.words).since_ns
        return self._clock.monotonic() - since_ns / SECOND_NS if since_ns else 0.0

    # What attempts show

    def _shows(self, ended: Ending | None) -> bool | None:
        """Whether the destination has answered; None where it does not show."""
        match ended:
            case Done() | Dead():
                return True
            case Raised() as raised if not issubclass(raised.kind, ENDS_OF_A_WORKER):
                return False if not self._failures or issubclass(raised.kind, self._failures) else None
            case Raised() | Refused() | None:
                return None
            case _:  # a Retry
                return bool(self._failures)

    def _note_done(self, known: Known, now: float, *, is_probe: bool) -> None:
        known.done_at = self._clock.wall()
        untold = known.untold
        known.untold = Ended(untold.done + 1, untold.failures, untold.tasks)
        _, failures_in_a_row, _ = looked_at(known.row.words[0])
        if is_probe or failures_in_a_row or now >= known.tell_at:
            self._tell(known, now, is_probe=is_probe, is_done=True)

    def _note_failed(self, known: Known, task: InHand, now: float, *, is_probe: bool) -> bool:
        """Whether the failure is not the task's: it is tried again when its destination is back."""
        untold = known.untold
        known.untold = Ended(untold.done, untold.failures + 1, untold.tasks + (task.attempt.tried == 0))
        if looked_at(known.row.words[0])[2] != task.openings:
            known.untold = untold  # it began before the destination opened, and says nothing of how it is now
        else:
            error = task.ended.failure.error if isinstance(task.ended, Raised) else "the handler asked for a retry"
            self._tell(known, now, is_probe=is_probe, is_done=False, error=error)
        state, _, openings = looked_at(known.row.words[0])
        is_away = state in (State.OPEN, State.HELD) or openings != task.openings
        return is_away and isinstance(task.ended, Raised)

    def _tell(self, known: Known, now: float, *, is_probe: bool, is_done: bool, error: str = "") -> None:
        """Bring what has ended into the row; what does not get there now is told the next time."""
        now_ns = int(now * SECOND_NS)
        with self._changing(known, now, error) as destination:
            if destination is None:
                return
            if is_probe:
                destination.probe_ended(now_ns, is_done=is_done, chance=random.random())  # noqa: S311 - it only spreads
            else:
                destination.note(self._policy, now_ns, known.untold)
            known.untold, known.tell_at = Ended(), now + TELL_S
            known.row.own[WAITING] = self._waiting_at(known.name)
            is_closed = destination.state is State.CLOSED
            known.row.idle_from(now_ns + int(FORGOTTEN_S * SECOND_NS) if is_closed else 2**64 - 1)

    # Rows

    def _know(self, task: InHand) -> Known | None:
        name = task.destination or ""
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
        """Leave the row of the destination that has been known longest, and of which no task waits or runs."""
        for name, known in self._known.items():
            if known.probe is None and not self._waiting_at(name):
                known.row.own[:] = memoryview(bytes(8 * len(known.row.own))).cast("Q")
                del self._known[name]
                return

    @contextmanager
    def _changing(self, known: Known, now: float, error: str = "") -> Iterator[Destination | None]:
        """The state, written back when the block ends, and told of where it opens or is closed; None: not now."""
        with self._table.changing(known.name) as row:
            if row is None:
                yield None
                return
            destination = Destination.of(row.words)
            was, since_ns = destination.state, destination.since_ns
            yield destination
            row.words[:WORDS] = memoryview(bytearray(8 * WORDS)).cast("Q")
            for place, word in enumerate(destination.words()):
                row.words[place] = word
        name = known.name.removeprefix(self._prefix)
        if was is State.CLOSED and destination.state is State.OPEN:
            self._emit(
                events.destination_opened(
                    destination=name, failures=destination.failures, attempts=destination.attempts, error=error
                )
            )
        elif was is not State.CLOSED and destination.state is State.CLOSED:
            self._emit(events.destination_closed(destination=name, away_s=round(now - since_ns / SECOND_NS, 3)))
