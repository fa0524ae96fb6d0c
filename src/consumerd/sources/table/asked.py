"""What people ask of a claimed table: how far a row has come, which rows come next, to add one. Runs in probes.

It only reads: a look at the next rows claims and locks none of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, zip_longest
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from consumerd.clock import iso, monotonic
from consumerd.database.causes import cause_of, is_locked, may_pass, words_of
from consumerd.database.claims import MOST_KEYS, ClaimedRow
from consumerd.database.looks import ANY, Kind
from consumerd.errors import SourceAwayError, SourceRefusedError, UsageError
from consumerd.model.task import TaskId
from consumerd.sources.askable import AskContext, Message, TaskState, Upcoming, Whereabouts
from consumerd.sources.records import encode_record
from consumerd.sources.table.batch import as_bytes, key_text, key_texts, record_of
from consumerd.sources.table.found import FoundTable
from consumerd.sources.table.lag import MOST_COUNTED
from consumerd.sources.table.opening import Opening, connected
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import insert_each
from consumerd.sources.table.shape import Shape, find_shape
from consumerd.sources.table.side.tables import SideTable
from consumerd.sources.table.statements import Statements
from consumerd.sources.table.turns.lanes import Lane, Lanes
from consumerd.sources.table.turns.walk import Walk

_ROW = """
SELECT {state}, {due}, :now, {attempts}, {token}, {settled}, CASE WHEN {condition} THEN 1 ELSE 0 END
FROM {table} WHERE {among}"""
_BEFORE = f"""
SELECT count(*) FROM (SELECT 1 AS one FROM {{table}} {{hint}} WHERE {{state}} = {{pending}} AND {{due}} < :since
AND {{condition}} LIMIT {MOST_COUNTED}) AS found"""
_IN_CONTENT = "SELECT 1 FROM {content_table} WHERE {among} AND ({content_where})"
_MOVED = "SELECT 1 FROM {done_table} WHERE {among}"
_IS_TASK = "SELECT 1 FROM {table} WHERE {among} AND {condition}"


class AskedTable:
    """One table, read by a connection for each question."""

    def __init__(self, context: AskContext) -> None:
        self._options: TableOptions = context.options
        self._place = Opening(self._options).place

    def where(self, task: str) -> Whereabouts:
        """By the row's own columns."""
        name = self._options.table
        text = task.removeprefix(f"{name}:")
        with self._connected() as (connection, shape, sql):
            keys = self._keys(shape, text)
            row = sql.claims.run_for(connection, _ROW, keys).fetchone() if keys else None
            ids = (TaskId(f"{name}:{text}"),)
            if row is None:
                return self._without_row(connection, sql, keys, text, ids)
            state, due, now, attempts, token, settled, is_task = row
            facts = {"row": text, "state": state, "due_at": _number(due), "attempts": _number(attempts)}
            facts |= {"lease": token, "settled_at": _number(settled)}
            found, told = self._judged(connection, sql, facts, float(now))
            if not is_task:
                found, told = TaskState.UNKNOWN, f"row {text} of {name} is no task: `where` does not hold of it"
        return Whereabouts(found, told, ids, facts)

    def peek(self, limit: int) -> Sequence[Upcoming]:
        """What the next claim would take, in its order."""
        with self._connected() as (connection, shape, sql):
            rows = self._next(connection, shape, sql, limit)
            if self._options.is_beside:
                rows = SideTable(self._options, sql.claims, shape.dialect).with_content(connection, rows)
        return [self._upcoming(row, shape, sql) for row in rows]

    def send(self, messages: Sequence[Message]) -> Sequence[str | None]:
        """Insert a pending row for each, in one transaction."""
        options = self._options
        if options.columns is not None or options.is_beside:
            told = "the record is the row itself" if options.columns is not None else "the table is the users' own"
            raise UsageError(f"{options.table} takes no payload, {told}: add rows by an INSERT of your own")
        if any(each.key is not None or each.headers for each in messages):
            raise UsageError(f"{options.table} is a table: its rows have neither a message's key nor headers")
        payloads: list[bytes | str] = [each.payload for each in messages]
        if not self._takes_bytes():
            try:
                payloads = [each.payload.decode() for each in messages]
            except UnicodeDecodeError as error:
                raise UsageError(
                    f"{options.payload_column} of {options.table} is a text, and takes no other bytes"
                ) from error
        try:
            keys = insert_each(options, payloads, self._check())
        except SourceAwayError as error:
            cause = error.__cause__
            if not isinstance(cause, DBAPIError | sqlite3.Error) or may_pass(cause) or is_locked(cause):
                raise
            told = f"the database refuses such a row ({words_of(cause)}): add rows by an INSERT of your own"
            raise UsageError(told) from error
        return [None if key is None else key_text(key) for key in keys]

    def _check(self) -> Callable[[Connection, object], None]:
        """Refuses a new row, within the transaction that adds it, of which `where` does not hold. UsageError."""
        options = self._options
        with self._connected() as (_, _, sql):
            claims = sql.claims

        def check(connection: Connection, key: object) -> None:
            if key is None and options.where:
                told = f"the database does not tell the key of a new row of {options.table}, so nobody can see whether"
                raise UsageError(f"{told} `where` holds of it; nothing is added: add rows by an INSERT of your own")
            if key is not None and claims.run_for(connection, _IS_TASK, [key]).fetchone() is None:
                told = f"`where` of {options.table} does not hold of a row that has only a payload, so it would never"
                raise UsageError(f"{told} be handled; nothing is added: add rows by an INSERT of your own")

        return check

    def _takes_bytes(self) -> bool:
        """Whether the payload is a column of bytes; else it is a text, or JSON."""
        options = self._options
        with self._connected() as (connection, _, _):
            table = FoundTable(connection, options, options.table, self._place, "")
            kind = table.types[options.payload_column.lower()]
            with suppress(NotImplementedError):  # a type that SQLAlchemy has no Python type for
                return not options.is_server or kind.python_type is bytes
            return False

    def _next(self, connection: Connection, shape: Shape, sql: Statements, limit: int) -> list[ClaimedRow]:
        """The rows that come next; with turns those of a priority from all tenants, one of each in turn."""
        if not self._options.turn_columns:
            return self._looked(connection, sql, ANY, limit)
        lanes = Lanes(monotonic)
        Walk(self._options, shape.dialect, sql.claims, monotonic).look(connection, lanes, limit)
        rows = self._looked(connection, sql, ANY, limit, has_waiting=False)
        for ring in lanes.in_order():
            if len(rows) < limit:
                found = [self._looked(connection, sql, _of_lane(lane), limit, turn=lane.values) for lane in ring]
                rows += [row for row in chain.from_iterable(zip_longest(*found)) if row is not None]
        return rows[:limit]

    def _looked(
        self,
        connection: Connection,
        sql: Statements,
        kind: Kind,
        limit: int,
        *,
        turn: Sequence[object] = (),
        has_waiting: bool = True,
    ) -> list[ClaimedRow]:
        """What a claim of this kind would take. has_waiting: besides what was claimed and not renewed."""
        given = {f"turn_{number}": value for number, value in enumerate(turn)}
        rows: list[ClaimedRow] = []
        looks = sql.claims.looks.peeking(kind)
        for look in looks if has_waiting else looks[:1]:
            rows += sql.claims.run(connection, look, limit=limit - len(rows), **given).fetchall()
        return rows

    def _judged(
        self, connection: Connection, sql: Statements, facts: dict[str, Any], now: float
    ) -> tuple[TaskState, str]:
        """What the columns of a row say of it, and the sentence; what it tells is among the facts."""
        states, row = self._options.states, f"row {facts['row']} of {self._options.table}"
        due, attempts, tried = facts["due_at"], facts["attempts"] or 0, _tried(facts["attempts"])
        match facts["state"]:
            case states.done:
                return TaskState.DONE, f"{row} is {states.done}{_at(facts['settled_at'])}"
            case states.dead:
                return TaskState.DEAD, f"{row} is {states.dead}{_at(facts['settled_at'])}"
            case states.claimed if due is not None and due > now:
                member, _, _ = str(facts["lease"]).partition("/")
                told = f"{row} is claimed by {member}, whose lease runs {due - now:.0f} s more unless it is renewed"
                return TaskState.CLAIMED, told
            case states.claimed:
                return TaskState.PENDING, f"{row} was claimed, and the lease has run out: it is claimed next"
            case states.pending if due is None:
                return TaskState.UNKNOWN, f"{row} has no time in {self._options.due_column}: nobody claims it"
            case states.pending if due > now:
                what = "waits to be tried again" if attempts else "is due later"
                return TaskState.WAITING, f"{row} {what}, in {due - now:.0f} s ({iso(due)}){tried}"
            case states.pending:
                before = sql.claims.run(connection, sql.claims.write(_BEFORE), since=due).fetchone()[0]
                facts["before"] = before
                many = "at least " * (before == MOST_COUNTED)
                turns = ", of all turns" * bool(self._options.turn_columns)
                longer = f"{many}{before} {'row has' if before == 1 else 'rows have'} been due longer"
                return TaskState.PENDING, f"{row} has been due for {now - due:.0f} s{tried}, and {longer}{turns}"
        told = f"{row} has the state {facts['state']!r}, which is none of `states`: nobody claims it"
        return TaskState.UNKNOWN, told

    def _without_row(
        self, connection: Connection, sql: Statements, keys: Sequence[object], text: str, ids: tuple[TaskId, ...]
    ) -> Whereabouts:
        """A row that is not in the table that has the claims: it may be in another."""
        options = self._options
        row, facts = f"row {text}", {"row": text}
        if keys and options.is_beside and sql.claims.run_for(connection, _IN_CONTENT, keys).fetchone():
            told = f"{row} of {options.table} is new: no worker has seen it yet, and {options.claims_table} lacks it"
            return Whereabouts(TaskState.PENDING, told, ids, facts)
        if keys and options.done == "move" and sql.claims.run_for(connection, _MOVED, keys).fetchone():
            return Whereabouts(TaskState.DONE, f"{row} was done, and is in {options.done_table}", ids, facts)
        if options.done == "delete" or options.retention is not None:
            told = f"{options.table} has no {row}: it was done and is deleted, or was never there"
            return Whereabouts(TaskState.UNKNOWN, told, ids, facts)
        return Whereabouts(TaskState.ABSENT, f"{options.table} has no {row}", ids, facts)

    def _keys(self, shape: Shape, text: str) -> Sequence[object]:
        """The keys that a text may mean. UsageError where it has too few parts, or too many."""
        width = len(self._options.id_column)
        texts = key_texts(text, width)
        if len(texts) != width:
            columns = ", ".join(self._options.id_column)
            raise UsageError(
                f"{text!r} is no key of {self._options.table}: write its {columns}, with commas between them"
            )
        return list(dict.fromkeys(shape.keys_of(texts)))[:MOST_KEYS]

    def _upcoming(self, row: ClaimedRow, shape: Shape, sql: Statements) -> Upcoming:
        width = len(self._options.id_column)
        key, attempts, since = sql.claims.key_of(row), row[width], row[width + 2]
        content = encode_record(record_of(shape.names, row[width + 3 :])) if shape.names else as_bytes(row[-1])
        due = "its claim has run out" if since is None else f"due {iso(float(since))}"
        text = key_text(key)
        return Upcoming(text, TaskId(f"{self._options.table}:{text}"), content, note=f"{due}{_tried(attempts)}")

    @contextmanager
    def _connected(self) -> Iterator[tuple[Connection, Shape, Statements]]:
        """A connection, the table's shape, and its statements."""
        options = self._options
        if not options.is_server and not options.path.exists():
            raise SourceRefusedError(f"there is no {self._place}: make it, or correct `database`")
        try:
            with connected(options) as connection:
                shape = find_shape(connection, options, self._place)
                yield connection, shape, Statements(options, shape, None)
        except (DBAPIError, sqlite3.Error) as error:
            kind = SourceAwayError if may_pass(error) else SourceRefusedError
            raise kind(f"the {self._place} cannot be read: {cause_of(error)}") from error


def _of_lane(lane: Lane) -> Kind:
    return Kind(has_lapsed=False, turn=tuple(value is None for value in lane.values))


def _number(value: Any) -> float | None:  # whatever a column holds
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _at(settled: float | None) -> str:
    return "" if settled is None else f" since {iso(settled)}"


def _tried(attempts: Any) -> str:  # whatever a column holds
    count = _number(attempts)
    return f", after {count:.0f} {'attempt' if count == 1 else 'attempts'}" if count else ""
