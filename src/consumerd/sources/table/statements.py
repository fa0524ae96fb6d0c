"""The fixed SQL of a claimed table. Times are parameters: SQLite runs in this process, its clock is the machine's.

A row's `due_at` is when it may next be claimed: while it is pending, when its time has come; while it is claimed, when
its lease has run out; and NULL once it is finished, which takes it out of the index (state, due_at). `lease` is the
token of the claim that has the row, `<member>#<generation>/<number>`; what settles must still have it.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.sources.table.options import TableOptions

PENDING, CLAIMED, DONE, DEAD = "pending", "claimed", "done", "dead"

_CLAIM = """
UPDATE {table} SET {state} = 'claimed', {due} = ?, {lease} = ? WHERE rowid IN (
  SELECT * FROM (SELECT rowid FROM {table} WHERE {state} = 'claimed' AND {due} <= ? ORDER BY {due} LIMIT ?)
  UNION ALL
  SELECT * FROM (SELECT rowid FROM {table} WHERE {state} = 'pending' AND {due} <= ? ORDER BY {due} LIMIT ?)
  LIMIT ?
) RETURNING {id}, coalesce(CAST({payload} AS BLOB), x''), coalesce({attempts}, 0), {first}"""

_HAS_DUE = """
SELECT EXISTS (SELECT 1 FROM {table} WHERE {state} = 'pending' AND {due} <= ?)
    OR EXISTS (SELECT 1 FROM {table} WHERE {state} = 'claimed' AND {due} <= ?)"""

_KEEP = (
    "UPDATE {table} SET {state} = 'done', {due} = NULL, {lease} = NULL, {settled} = ? WHERE {id} = ? AND {lease} = ?"
)
_DELETE = "DELETE FROM {table} WHERE ? IS NOT NULL AND {id} = ? AND {lease} = ?"
_DEAD = (
    "UPDATE {table} SET {state} = 'dead', {due} = NULL, {lease} = NULL, {settled} = ? WHERE {id} = ? AND {lease} = ?"
)
_RESOLVE = "UPDATE {table} SET {state} = 'done', {settled} = ? WHERE {id} = ? AND {state} = 'dead'"
_DELETE_DEAD = "DELETE FROM {table} WHERE ? IS NOT NULL AND {id} = ? AND {state} = 'dead'"
_FREE = "UPDATE {table} SET {state} = 'pending', {due} = ?, {lease} = NULL WHERE {id} = ? AND {lease} = ?"

_DEFER = """
UPDATE {table} SET {state} = 'pending', {due} = ?, {lease} = NULL, {attempts} = ?, {first} = coalesce({first}, ?)
WHERE {id} = ? AND {lease} = ?"""

_GIVE_BACK = """
UPDATE {table} SET {state} = 'pending', {due} = ?, {lease} = NULL
WHERE {state} = 'claimed' AND {due} IS NOT NULL AND {lease} >= ? AND {lease} < ?
  AND {lease} NOT IN (SELECT value FROM json_each(?))"""

_RENEW = "UPDATE {table} SET {due} = ? WHERE {state} = 'claimed' AND {due} IS NOT NULL AND {lease} = ?"

_LAG = """
SELECT (SELECT count(*) FROM {table} WHERE {state} = 'pending' AND {due} <= ?),
       (SELECT count(*) FROM {table} WHERE {state} = 'claimed' AND {due} IS NOT NULL),
       (SELECT min({due}) FROM {table} WHERE {state} = 'pending' AND {due} <= ?),
       (SELECT count(*) FROM {table} WHERE {due} IS NOT NULL),
       (SELECT max(rowid) FROM {table})"""

_CREATE = """
CREATE TABLE IF NOT EXISTS {table} (
  {id} INTEGER PRIMARY KEY AUTOINCREMENT, {payload} BLOB NOT NULL, {state} TEXT NOT NULL DEFAULT 'pending',
  {due} REAL, {attempts} INTEGER NOT NULL DEFAULT 0, {first} REAL, {lease} TEXT, {settled} REAL)"""

_INDEX = "CREATE INDEX IF NOT EXISTS {index} ON {table} ({state}, {due}) WHERE {due} IS NOT NULL"
_ENQUEUE = "INSERT INTO {table} ({payload}, {state}, {due}) VALUES (?, 'pending', ?)"


@dataclass(frozen=True, slots=True)
class Statements:
    """One table's SQL. The parameters, in order:

    claim: end of the lease, token, now, limit, now, limit, limit · has_due: now, now · done, dead: now, id, token ·
    resolve: now, id as text · free: due, id, token · defer: due, attempts, first attempt, id, token · give_back: now,
    first token, token after the last, JSON list of tokens to spare · renew: end of the lease, token · lag: now, now ·
    enqueue: payload, due.
    """

    claim: str
    has_due: str
    done: str
    dead: str
    resolve: str
    free: str
    defer: str
    give_back: str
    renew: str
    lag: str
    create: str
    index: str
    enqueue: str


def statements_for(options: TableOptions) -> Statements:
    """The SQL for these names, which the options have checked."""
    names = {
        "table": options.table,
        "id": options.id_column,
        "payload": options.payload_column,
        "state": options.state_column,
        "due": options.due_column,
        "attempts": options.attempts_column,
        "first": options.first_column,
        "lease": options.lease_column,
        "settled": options.settled_column,
        "index": f"ix_{options.table}_due",
    }
    quoted = {part: f'"{name}"' for part, name in names.items()}
    return Statements(
        claim=_CLAIM.format(**quoted),
        has_due=_HAS_DUE.format(**quoted),
        done=(_KEEP if options.done == "keep" else _DELETE).format(**quoted),
        dead=_DEAD.format(**quoted),
        resolve=(_RESOLVE if options.done == "keep" else _DELETE_DEAD).format(**quoted),
        free=_FREE.format(**quoted),
        defer=_DEFER.format(**quoted),
        give_back=_GIVE_BACK.format(**quoted),
        renew=_RENEW.format(**quoted),
        lag=_LAG.format(**quoted),
        create=_CREATE.format(**quoted),
        index=_INDEX.format(**quoted),
        enqueue=_ENQUEUE.format(**quoted),
    )
