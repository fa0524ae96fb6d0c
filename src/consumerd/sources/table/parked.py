"""What rows are by now whose parked copies are to be tried again. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from consumerd.database.claims import MOST_KEYS, ClaimedRow, Claims
from consumerd.model.task import TaskId
from consumerd.sources.abilities import RowNow
from consumerd.sources.records import encode_record
from consumerd.sources.table.batch import as_bytes, key_texts, record_of
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.shape import Shape
from consumerd.sources.table.side.tables import SideTable

_ROW = "SELECT {key}, {state}%s FROM {table} WHERE {among} AND {condition}"
_MOVED = "SELECT 1 FROM {done_table} WHERE {among}"
_GONE = RowNow(fate="its row is gone: it was deleted, or `where` does not hold of it any more")
_DONE = RowNow(fate="its row is done", is_over=True)


class ParkedRows:
    """The rows of a table of this shape that parked tasks are."""

    def __init__(self, options: TableOptions, shape: Shape, claims: Claims, side: SideTable | None) -> None:
        """side: where the claims stand beside the table."""
        self._options = options
        self._shape = shape
        self._claims = claims
        self._side = side
        content = "" if side is not None else "".join(f", {{content_{number}}}" for number in range(len(shape.content)))
        self._row = _ROW % content

    def keys_of(self, task_id: TaskId) -> list[object]:
        """The keys that the id of a task may mean."""
        texts = key_texts(task_id.removeprefix(f"{self._options.table}:"), len(self._options.id_column))
        return self._shape.keys_of(texts)

    def look(self, connection: Connection, ids: Sequence[TaskId]) -> Mapping[TaskId, RowNow]:
        """What those of these tasks are now that are rows of this table."""
        prefix = f"{self._options.table}:"
        return {each: self._look(connection, each) for each in ids if each.startswith(prefix)}

    def _look(self, connection: Connection, task_id: TaskId) -> RowNow:
        keys = self.keys_of(task_id)[:MOST_KEYS]
        rows: Sequence[ClaimedRow] = self._claims.run_for(connection, self._row, keys).fetchall() if keys else ()
        if self._side is not None:
            rows = self._side.with_content(connection, rows)
        found = [self._judged(row) for row in rows]  # of several, where an id may mean them, the one that is dead
        return next(
            (each for each in found if each.payload is not None), found[0] if found else self._missed(connection, keys)
        )

    def _missed(self, connection: Connection, keys: Sequence[object]) -> RowNow:
        """There is no such row, or it is no task."""
        if keys and self._options.done == "move" and self._claims.run_for(connection, _MOVED, keys).fetchone():
            return _DONE
        return _GONE

    def _judged(self, row: ClaimedRow) -> RowNow:
        width, states = len(self._options.id_column), self._options.states
        match row[width]:
            case states.dead:
                names, content = self._shape.names, row[width + 1 :]
                return RowNow(encode_record(record_of(names, content)) if names else as_bytes(content[0]))
            case states.claimed:
                return RowNow(is_claimed=True)
            case states.done:
                return _DONE
            case states.pending:
                return RowNow(fate="its row waits as a new task: it was set back", is_over=True)
        return RowNow(fate=f"its row has the state {row[width]!r}")
