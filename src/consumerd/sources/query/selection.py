"""Which rows of a query's answer this worker takes: its own by hash, and not parked, unless they are due again.

A row that died is taken again where it is another one (its content differs from the copy), or where somebody has set it
back: the query left it out for a while, since `on_parked` had marked it, and gives it again. Runs in workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from consumerd import events
from consumerd.errors import SourceAwayError, SourceRefusedError, StoreAwayError
from consumerd.model.failure import one_line
from consumerd.model.parked import Entry, ParkedState
from consumerd.model.task import TaskId
from consumerd.sources.contract import SourceContext
from consumerd.sources.query.batch import Row
from consumerd.sources.query.content import digest_of, digest_of_copy


@dataclass(slots=True)
class Selected:
    """What to do with the rows of one piece of an answer.

    rows: to handle.
    others: other workers' by hash, if the query only reads.
    parked: those that are parked, and are left out.
    seen: the ids of all that were returned and are this worker's.
    has_come_again: a row among them was given before, and is not done.
    """

    rows: list[Row] = field(default_factory=list)
    others: list[Row] = field(default_factory=list)
    parked: list[object] = field(default_factory=list)
    seen: set[TaskId] = field(default_factory=set)
    has_come_again: bool = False


class Selection:
    """Selects from each piece.

    in_hand: the rows that were given to the loop and are not settled.
    """

    def __init__(self, context: SourceContext, *, tells_parked: bool) -> None:
        """tells_parked: the consumer has an `on_parked`, which may mark rows."""
        self._context = context
        self._tells_parked = tells_parked
        self._done_at: dict[TaskId, float] = {}
        self._dead: dict[TaskId, bool] = {}  # whether it was returned all the time since it died
        self._copies: dict[tuple[TaskId, float], str] = {}
        self._has_looked = False
        self._told: set[str] = set()
        self.in_hand: set[TaskId] = set()

    def of(self, records: Sequence[object], offset: int) -> Selected:
        """What to take of `records`, the first of which is at `offset` of the answer."""
        self._forget_old()
        selected = Selected()
        candidates = list(self._candidates(records, offset, selected))
        try:
            entries = self._context.parked.entries_among([row.id for row in candidates]) if candidates else {}
            self._context.worker.note_store(None)
        except StoreAwayError as error:
            entries = {}  # nobody can say what is parked: those that were known to be stay out
            self._context.worker.note_store(error)
            candidates = [row for row in candidates if row.id not in self._dead]
        for row in candidates:
            try:
                self._judge(row, entries.get(row.id), selected)
            except StoreAwayError as error:
                self._context.worker.note_store(error)
                selected.rows.append(row)  # it may come only once
        return selected

    def note_done(self, rows: Iterable[Row]) -> None:
        """These are handled: returned again within `SLEEP_TIME`, they are left out."""
        now = self._context.clock.monotonic()
        self._done_at.update((row.id, now) for row in rows)

    def note_dead(self, task_id: TaskId) -> None:
        """This row has died here."""
        self._dead[task_id] = True

    def note_whole(self, seen: set[TaskId]) -> None:
        """The query has given all that it has, and no row but these."""
        self._has_looked = True
        for task_id in self._dead.keys() - seen:
            self._dead[task_id] = False

    def is_ours(self, task_id: TaskId) -> bool:
        """Whether this worker takes the task, by the hash of its id."""
        return self._context.shard.owns(task_id)

    # Within

    def _candidates(self, records: Sequence[object], offset: int, selected: Selected) -> Iterable[Row]:
        for place, record in enumerate(records, offset):
            named = self._named(place, record)
            is_nameless = named is None
            task_id = TaskId(f"{self._context.name}:{f'~{digest_of(record)}' if is_nameless else named}")
            if is_nameless:
                self._tell_once("it has no id, and is known by its content: define task_id(record)", record)
                if self._context.shard.count > 1 and not self._context.worker.user_reads_shard():
                    raise SourceRefusedError(
                        f"a record of {self._context.name} has no id, so {self._context.shard.count} workers cannot "
                        f"divide the rows: define task_id(record), read self.shard in get_next_batch, or set workers "
                        f"to 1"
                    )
            elif task_id in selected.seen:
                self._tell_once("its id was in this answer before: the first row is taken", record)
                continue
            if self._context.worker.user_reads_shard() or self.is_ours(task_id):
                selected.seen.add(task_id)
                if task_id in self.in_hand or task_id in self._done_at:
                    selected.has_come_again = True
                else:
                    yield Row(place, record, task_id)
            else:
                selected.others.append(Row(place, record, task_id))

    def _judge(self, row: Row, entry: Entry | None, selected: Selected) -> None:
        if entry is None:
            self._dead.pop(row.id, None)
            selected.rows.append(row)
        elif entry.state is ParkedState.WAITING and entry.is_due:
            selected.rows.append(row._replace(attempts=entry.attempts, first_at=entry.first_at, is_parked=True))
        elif entry.state is ParkedState.DEAD and self._is_another(row, entry):
            selected.rows.append(row)
        elif entry.state is ParkedState.DEAD and self._was_set_back(row.id):
            self._context.parked.reopen(row.id)
            del self._dead[row.id]
            selected.rows.append(row._replace(is_parked=True))
        else:
            selected.has_come_again = True
            if entry.state is ParkedState.DEAD:
                selected.parked.append(row.record)

    def _is_another(self, row: Row, entry: Entry) -> bool:
        """Whether a row has the id of one that died, and not its content."""
        known = (row.id, entry.last_at)
        if known not in self._copies:
            self._copies[known] = digest_of_copy(self._context.parked.copy_of(row.id))
        return bool(self._copies[known]) and self._copies[known] != digest_of(row.record)

    def _was_set_back(self, task_id: TaskId) -> bool:
        """Whether the query left a dead row out meanwhile; of those that died before this worker began, whether
        `on_parked` has marked them.
        """
        if task_id not in self._dead:
            self._dead[task_id] = self._has_looked or not self._tells_parked
        return not self._dead[task_id]

    def _named(self, place: int, record: object) -> object:
        try:
            return self._context.consumer.task_id(record)
        except Exception as error:
            raise SourceAwayError(f"task_id raised {one_line(error)} for row {place} of the batch") from error

    def _tell_once(self, advice: str, record: object) -> None:
        if advice not in self._told:
            self._told.add(advice)
            self._context.emit(events.query_remarked(advice=advice, row=one_line_of(record)))

    def _forget_old(self) -> None:
        oldest = self._context.clock.monotonic() - float(self._context.consumer.SLEEP_TIME)
        self._done_at = {task_id: at for task_id, at in self._done_at.items() if at > oldest}
        if len(self._copies) > MOST_COPIES:
            self._copies.clear()


MOST_COPIES = 10_000
LONGEST_TOLD = 200


def one_line_of(record: object) -> str:
    """A row as people read it in a line."""
    try:
        return " ".join(repr(record).split())[:LONGEST_TOLD]
    except Exception:  # noqa: BLE001 - the user's __repr__ may raise anything
        return type(record).__name__
