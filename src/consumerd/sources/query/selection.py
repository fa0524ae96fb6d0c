"""Which rows of a query's answer this worker takes: its own by hash, and not parked, unless they are due again.

A row that died is taken again where it is another one (its content differs from the copy), or where somebody has set it
back: the query left it out for a while, since `on_parked` had marked it, and gives it again. Runs in workers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from consumerd.errors import StoreAwayError
from consumerd.model.parked import Entry, ParkedState
from consumerd.model.task import TaskId
from consumerd.sources.contract import SourceContext
from consumerd.sources.query.batch import Row
from consumerd.sources.query.dead import DeadRows
from consumerd.sources.query.identity import Identities
from consumerd.sources.query.ownership import Ownership

FORGETS_EVERY_S = 60.0


@dataclass(slots=True)
class Selected:
    """What to do with the rows of one piece of an answer.

    rows: to handle.
    others: to leave out if the query only reads: other workers' by hash, second ones of an id, what was just done.
    dead: those that died, and are left out.
    seen: the ids of all that were returned and are this worker's; in_hand: those of them that it is handling.
    has_come_again: a row among them was given before, and is not done.
    """

    rows: list[Row] = field(default_factory=list)
    others: list[Row] = field(default_factory=list)
    dead: list[object] = field(default_factory=list)
    seen: set[TaskId] = field(default_factory=set)
    in_hand: set[TaskId] = field(default_factory=set)
    has_come_again: bool = False


class Selection:
    """Selects from each piece.

    in_hand: the rows that were given to the loop and are not settled.
    dead: those that died.
    given_while_waiting: those that the query goes on giving while they wait.
    """

    def __init__(self, context: SourceContext, ownership: Ownership, *, tells_parked: bool) -> None:
        """tells_parked: the consumer has an `on_parked`, which may mark rows."""
        self._context = context
        self._ownership = ownership
        self._identities = Identities(context, ownership)
        self._done_at: dict[TaskId, float] = {}
        self._forgets_at = 0.0
        self._waiting: set[TaskId] = set()
        self.dead = DeadRows(context, tells_parked=tells_parked)
        self.in_hand: Counter[TaskId] = Counter()
        self.given_while_waiting: set[TaskId] = set()
        self._in_hand_before: frozenset[TaskId] = frozenset()

    def begin_answer(self) -> None:
        """The query is asked anew: what is in hand now may be done when the answer gives it, read later."""
        self._in_hand_before = frozenset(self.in_hand)

    def of(self, records: Sequence[object], offset: int, *, claims: bool, reads: bool) -> Selected:
        """What to take of `records`, the first of which is at `offset` of the answer.

        claims: none of them comes again, so that none may be left out. reads: it is certain that each does.
        """
        self._forget_old()
        selected = Selected()
        named = self._identities.named(records, offset, claims=claims)
        candidates = list(named if claims else self._candidates(named, selected, reads=reads))
        entries = self._entries([row.id for row in candidates])
        for row in candidates:
            if entries is None and not claims and (row.id in self._waiting or self.dead.knows(row.id)):
                continue  # nobody can say what is parked: those that were known to be wait
            self._judge(row, (entries or {}).get(row.id), selected)
        return selected

    def note_done(self, rows: Iterable[Row]) -> None:
        """These are handled: returned again within `SLEEP_TIME`, they are left out."""
        now = self._context.clock.monotonic()
        for row in rows:
            self._done_at[row.id] = now
            self._note_not_waiting(row.id)

    def note_dead(self, rows: Iterable[Row]) -> None:
        """These have died."""
        for row in rows:
            self._note_not_waiting(row.id)
            self.dead.note(row.id)

    def forget(self, task_id: TaskId) -> None:
        """This row is not parked any more."""
        self._note_not_waiting(task_id)
        self.dead.forget(task_id)

    def is_ours(self, task_id: TaskId) -> bool:
        """Whether this worker takes the task, by the hash of its id."""
        return self._ownership.shard.owns(task_id)

    # Within

    def _candidates(self, named: Iterator[Row], selected: Selected, *, reads: bool) -> Iterator[Row]:
        """Rows of this worker's that it does not have, nor had a moment ago where they will come again."""
        divides_itself = self._context.worker.user_reads_shard()
        others: set[TaskId] = set()
        for row in named:
            is_nameless = row.id.startswith(f"{self._context.name}:~")
            if not is_nameless and (row.id in selected.seen or row.id in others):
                self._identities.tell_twice(row.record)
                selected.others.append(row)
            elif divides_itself or self.is_ours(row.id):
                selected.seen.add(row.id)
                if row.id in self.in_hand or row.id in self._in_hand_before:
                    selected.in_hand.add(row.id)
                    selected.has_come_again = True
                elif row.id not in self._done_at:
                    yield row
                elif not reads:
                    selected.others.append(row)
            else:
                others.add(row.id)
                selected.others.append(row)

    def _entries(self, ids: Sequence[TaskId]) -> dict[TaskId, Entry] | None:
        """What there is of them in the parking store; None where it does not answer."""
        if not ids:
            return {}
        try:
            entries = dict(self._context.parked.entries_among(ids))
        except StoreAwayError as error:
            self._context.worker.note_store(error)
            return None
        self._context.worker.note_store(None)
        self._waiting.difference_update(ids)
        self._waiting.update(task_id for task_id, entry in entries.items() if entry.state is ParkedState.WAITING)
        return entries

    def _judge(self, row: Row, entry: Entry | None, selected: Selected) -> None:
        if entry is None:
            self.forget(row.id)
            selected.rows.append(row)
        elif entry.state is ParkedState.WAITING and entry.is_due:
            selected.rows.append(row._replace(attempts=entry.attempts, first_at=entry.first_at, is_parked=True))
        elif entry.state is ParkedState.WAITING:
            selected.has_come_again = True
            self.given_while_waiting.add(row.id)
        elif (taken := self.dead.taken_again(row, entry)) is not None:
            selected.rows.append(taken)
        else:
            selected.has_come_again = True
            selected.dead.append(row.record)

    def _note_not_waiting(self, task_id: TaskId) -> None:
        self._waiting.discard(task_id)
        self.given_while_waiting.discard(task_id)

    def _forget_old(self) -> None:
        """Forget what is done for long enough; and now and then what the parking store does not have any more."""
        now = self._context.clock.monotonic()
        oldest = now - float(self._context.consumer.SLEEP_TIME)
        self._done_at = {task_id: at for task_id, at in self._done_at.items() if at > oldest}
        if now < self._forgets_at:
            return
        self._forgets_at = now + FORGETS_EVERY_S
        known = list((self._waiting | self.given_while_waiting | self.dead.known) - self.in_hand.keys())
        if (entries := self._entries(known)) is not None:
            for task_id in set(known) - entries.keys():
                self.forget(task_id)
