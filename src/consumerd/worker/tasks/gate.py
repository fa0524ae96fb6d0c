"""The gate: when the next task may start, and why it may not now. Runs in workers and the foreground."""

from __future__ import annotations

from itertools import compress

from consumerd import events
from consumerd.errors import QueryFailedError, SourceAwayError, StoreAwayError
from consumerd.sources.abilities import TellsTrouble
from consumerd.sources.contract import Source
from consumerd.wire.board import BoardFlag, Hold
from consumerd.worker.attempts.breaker import RENEW_AFTER_S, Breaker, Outage
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.interrupts import Interrupt
from consumerd.worker.tasks.settling import Settling

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
ANOTHER_REASON_S = 5.0
"""A server that does not answer may be back as a replica, which takes no writes: that is told."""

_SHOWN = (
    *(BoardFlag.STORE_AWAY, BoardFlag.UNSTORABLE, BoardFlag.SOURCE_AWAY),
    *(BoardFlag.DESTINATION_AWAY, BoardFlag.ALL_FAILED),
)

RENEW_SOON_S = 15.0
"""So long a query may fail that has answered before, until another process is tried."""


class Gate:
    """Knows of whatever may keep a task from starting, and writes it on the board. The loop's thread calls it."""

    def __init__(self, context: WorkerContext, source: Source, settling: Settling, breaker: Breaker) -> None:
        self._context = context
        self._interrupts = context.interrupts
        self._source = source
        self._trouble = source.trouble if isinstance(source, TellsTrouble) else None
        self._settling = settling
        self._breaker = breaker
        self._outage = Outage(
            context,
            events.source_away,
            events.source_back,
            first_s=FIRST_PAUSE_S,
            longest_s=LONGEST_PAUSE_S,
            another_reason_s=ANOTHER_REASON_S,
        )

    def ask(self) -> tuple[Hold, int]:
        """What keeps the next task of the source from starting, and how many may be fetched.

        One that an open breaker holds is fetched all the same: it has to be there to be tried.
        """
        if self.source_pause_s > 0:
            hold, room = Hold.SOURCE_AWAY, 0
        elif self._interrupts.is_paused:
            hold, room = Hold.PAUSED, 0
        elif (room := max(0, self._context.common.max_unsettled - self._count_unsettled())) == 0:
            hold = Hold.STORE_AWAY if self._settling.outage.is_on else Hold.UNSETTLED_FULL
        else:
            hold = Hold.NOTHING
            if self._breaker.pause_left_s > 0:
                hold = Hold.DESTINATION_AWAY if self._breaker.is_away else Hold.ALL_FAILED
        self._context.board.holds(hold)
        return hold, room

    @property
    def source_pause_s(self) -> float:
        """In how many seconds to ask a source again that is away."""
        return self._outage.pause_left_s

    @property
    def is_open_for_parked(self) -> bool:
        """Whether parked tasks may be looked for."""
        return not self._interrupts.is_paused and self._settling.outage.pause_left_s <= 0

    def note_source(self, away: SourceAwayError | StoreAwayError | None, *, gives_tasks: bool = False) -> None:
        """The source, or the store that it must ask, does not answer; or, with None, it does.

        gives_tasks: it is away, and nevertheless gives some.
        """
        match away:
            case None if not self._outage.is_on:
                return
            case None:
                self._outage.end()
            case SourceAwayError():
                self._outage.note(away, is_asked_at_once=gives_tasks)
                self._renew_if_stale(away)
            case StoreAwayError():
                self._settling.outage.note(away)
        self.show()

    def note_store(self, away: StoreAwayError | None) -> None:
        """The store did not answer the source, which goes on without it; or it has."""
        if away is None:
            self._settling.note_answer()
        else:
            self._settling.outage.note(away)
        self.show()

    def note_fetched(self, *, gives_tasks: bool) -> None:
        """The source has been asked, and has not said that it is away; it may be in trouble all the same."""
        self.note_source(None if self._trouble is None else self._trouble(), gives_tasks=gives_tasks)
        if gives_tasks:
            self._count_unsettled()

    def show(self) -> None:
        """Write on the board what is away."""
        settling, breaker = self._settling, self._breaker
        away = (
            *(settling.outage.is_on, settling.refuses_some, self._outage.is_on),
            *(breaker.is_away, breaker.are_failing),
        )
        self._context.board.stands(sum(compress(_SHOWN, away)))

    def _count_unsettled(self) -> int:
        """How many tasks are taken and not durably settled, as the board has it too."""
        unsettled = self._source.unsettled()
        self._context.board.note_unsettled(unsettled)
        return unsettled

    def _renew_if_stale(self, error: SourceAwayError) -> None:
        """A connection of the user's own comes back with another process, where it does not by itself."""
        patience_s = RENEW_SOON_S if self._source.has_answered else RENEW_AFTER_S
        if isinstance(error, QueryFailedError) and self._outage.lasts_s >= patience_s:
            self._context.ask_for_replacement(Interrupt.STALE)


class Pace:
    """Says how many tasks fit into a time. Until something is known, first_s is taken for what one takes."""

    def __init__(self, first_s: float) -> None:
        self._task_s = first_s

    def learn(self, tasks: int, seconds: float) -> None:
        """So many tasks took so long; a mean in which the last of them count most."""
        if tasks:
            self._task_s += (seconds / tasks - self._task_s) / 4

    def fitting(self, seconds: float) -> int:
        """How many tasks take about so long; at least one."""
        return max(1, int(seconds / max(self._task_s, 1e-9)))
