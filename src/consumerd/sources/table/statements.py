"""The SQL of a claimed SQLite table, besides its claims. `:now` is a parameter: its clock is that of the machine.

A row's `due_at` is when it may next be claimed: while it is pending, when its time has come; while it is claimed, when
its lease has run out; and NULL once it is finished, which takes it out of the index (state, due_at). `lease` is the
token of the claim that has the row, `<member>#<generation>/<number>`; what settles must still have it.
"""

from __future__ import annotations

from collections.abc import Callable

from consumerd.clock import wall
from consumerd.database.claims import ClaimedTable, Claims
from consumerd.sources.table.options import TableOptions

FAR_S = 100 * 365 * 86_400.0
"""A row that is due later than that is due never: its time is in another unit."""

PENDING, CLAIMED, DONE, DEAD = "pending", "claimed", "done", "dead"

_FINISHED = "{{state}} = '{state}', {{due}} = NULL, {{token}} = NULL, {{settled}} = :now"
_DEFERRED = """
{state} = 'pending', {due} = :now + :after, {token} = NULL, {attempts} = :attempts,
{first} = coalesce({first}, :first)"""

_OF_A_DEAD_ROW = "WHERE {key} IN (:text, :number, :content) AND {state} = 'dead'"
_RESOLVE = f"UPDATE {{table}} SET {{state}} = 'done', {{settled}} = :now {_OF_A_DEAD_ROW}"
_DELETE_DEAD = f"DELETE FROM {{table}} {_OF_A_DEAD_ROW}"

_LAG = f"""
SELECT (SELECT count(*) FROM {{table}} WHERE {{state}} = 'pending' AND {{due}} <= :now)
         - (SELECT count(*) FROM {{table}} WHERE {{key}} IS NULL AND {{state}} = 'pending' AND {{due}} <= :now),
       (SELECT count(*) FROM {{table}} WHERE {{state}} = 'claimed' AND {{due}} IS NOT NULL),
       (SELECT min({{due}}) FROM {{table}} WHERE {{state}} = 'pending' AND {{due}} <= :now),
       (SELECT count(*) FROM {{table}} WHERE {{due}} IS NOT NULL),
       (SELECT max(rowid) FROM {{table}}),
       (SELECT count(*) FROM {{table}} WHERE {{state}} = 'pending' AND {{due}} > :now AND {{due}} <= :now + {FAR_S})"""

_NEXT_ROWID = "SELECT min(rowid) FROM {table} WHERE rowid > :rowid"

_UNCLAIMABLE = f"""
SELECT why, count(*), min(id) FROM (
  SELECT {{key}} AS id, CASE
    WHEN {{state}} IN ('done', 'dead') THEN NULL
    WHEN {{key}} IS NULL THEN 'without {{key_name}}'
    WHEN {{state}} IN ('pending', 'claimed') THEN CASE
      WHEN {{due}} IS NULL THEN 'without {{due_name}}'
      WHEN typeof({{due}}) NOT IN ('integer', 'real') AND {{due}} GLOB '*[^0-9.]*' THEN 'whose {{due_name}} is a text'
      WHEN {{due}} > :now + {FAR_S} THEN 'whose {{due_name}} is no unix time in seconds' END
    WHEN {{state}} IS NULL THEN 'without {{state_name}}'
    WHEN {{due}} IS NOT NULL OR lower(trim({{state}})) IN ('pending', 'claimed')
      THEN 'whose {{state_name}} is neither pending, claimed, done nor dead' END AS why
  FROM {{table}} WHERE rowid > :after AND rowid <= :last) WHERE why IS NOT NULL GROUP BY why"""

_CREATE = """
CREATE TABLE IF NOT EXISTS {table} (
  {key} INTEGER PRIMARY KEY AUTOINCREMENT, {payload} BLOB NOT NULL, {state} TEXT NOT NULL DEFAULT 'pending',
  {due} REAL, {attempts} INTEGER NOT NULL DEFAULT 0, {first} REAL, {token} TEXT, {settled} REAL)"""

_INDEX = "CREATE INDEX IF NOT EXISTS {index} ON {table} ({state}, {due}) WHERE {due} IS NOT NULL"
_ENQUEUE = "INSERT INTO {table} ({payload}, {state}, {due}) VALUES (:payload, 'pending', :now)"


class Statements:
    """The SQL of one table, for the names in its options, which these have checked.

    claims: who has which rows; a claim gives a row's id, payload, attempts, and time of the first attempt.
    done, dead, defer: settle a claimed row.
    resolve: a dead row is done after all; `text`, `number` and `content` are what its id may be.
    lag: counts what is due, claimed, unfinished, and due later.
    next_rowid: the number of the next row that there is.
    unclaimable: counts, of a window of row numbers, what nobody can ever claim, and why.
    create, index, enqueue: make such a table, and fill it.
    """

    def __init__(self, options: TableOptions, now: Callable[[], float] = wall) -> None:
        self.claims = claims = Claims(_claimed(options), "sqlite", now)
        write, is_kept = claims.write, options.done == "keep"
        self.done = claims.settlement(_FINISHED.format(state=DONE)) if is_kept else claims.delete
        self.dead = claims.settlement(_FINISHED.format(state=DEAD))
        self.defer = claims.settlement(_DEFERRED)
        self.resolve = write(_RESOLVE if is_kept else _DELETE_DEAD)
        self.lag, self.next_rowid = write(_LAG), write(_NEXT_ROWID)
        names = {"key_name": options.id_column, "due_name": options.due_column, "state_name": options.state_column}
        self.unclaimable = write(_UNCLAIMABLE, **names)
        self.create, self.index, self.enqueue = map(write, (_CREATE, _INDEX, _ENQUEUE))


def _claimed(options: TableOptions) -> ClaimedTable:
    return ClaimedTable(
        table=options.table,
        key=options.id_column,
        state=options.state_column,
        waiting=PENDING,
        claimed=CLAIMED,
        due=options.due_column,
        token=options.lease_column,
        gives="{key}, coalesce(CAST({payload} AS BLOB), x''), coalesce({attempts}, 0), {first}",
        untried="coalesce({attempts}, 0) = 0",
        more={
            "payload": options.payload_column,
            "attempts": options.attempts_column,
            "first": options.first_column,
            "settled": options.settled_column,
            "index": f"ix_{options.table}_due",
        },
    )
