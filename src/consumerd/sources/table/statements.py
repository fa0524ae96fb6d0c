"""The fixed SQL of a claimed table. Times are parameters: SQLite runs in this process, its clock is the machine's.

A row's `due_at` is when it may next be claimed: while it is pending, when its time has come; while it is claimed, when
its lease has run out; and NULL once it is finished, which takes it out of the index (state, due_at). `lease` is the
token of the claim that has the row, `<member>#<generation>/<number>`; what settles must still have it.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.sources.table.options import TableOptions

FAR_S = 100 * 365 * 86_400.0
"""A row that is due later than that is due never: its time is in another unit."""

PENDING, CLAIMED, DONE, DEAD = "pending", "claimed", "done", "dead"

_CLAIM = """
UPDATE {table} SET {state} = 'claimed', {due} = ?, {lease} = ? WHERE rowid IN (
  SELECT * FROM (
    SELECT rowid FROM {table} WHERE {state} = 'claimed' AND {due} <= ? AND {id} IS NOT NULL ORDER BY {due} LIMIT ?)
  UNION ALL
  SELECT * FROM (
    SELECT rowid FROM {table} WHERE {state} = 'pending' AND {due} <= ? AND {id} IS NOT NULL {only}
    ORDER BY {due} LIMIT ?)
  LIMIT ?
) RETURNING {id}, coalesce(CAST({payload} AS BLOB), x''), coalesce({attempts}, 0), {first}"""

_FRESH = "AND coalesce({attempts}, 0) = 0"

_HAS_DUE = """
SELECT EXISTS (SELECT 1 FROM {table} WHERE {state} = 'pending' AND {due} <= ? AND {id} IS NOT NULL)
    OR EXISTS (SELECT 1 FROM {table} WHERE {state} = 'claimed' AND {due} <= ? AND {id} IS NOT NULL)"""

_KEEP = (
    "UPDATE {table} SET {state} = 'done', {due} = NULL, {lease} = NULL, {settled} = ? WHERE {id} = ? AND {lease} = ?"
)
_DELETE = "DELETE FROM {table} WHERE ? IS NOT NULL AND {id} = ? AND {lease} = ?"
_DEAD = (
    "UPDATE {table} SET {state} = 'dead', {due} = NULL, {lease} = NULL, {settled} = ? WHERE {id} = ? AND {lease} = ?"
)
_RESOLVE = "UPDATE {table} SET {state} = 'done', {settled} = ? WHERE {id} IN (?, ?, ?) AND {state} = 'dead'"
_DELETE_DEAD = "DELETE FROM {table} WHERE ? IS NOT NULL AND {id} IN (?, ?, ?) AND {state} = 'dead'"
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
SELECT (SELECT count(*) FROM {table} WHERE {state} = 'pending' AND {due} <= ?)
         - (SELECT count(*) FROM {table} WHERE {id} IS NULL AND {state} = 'pending' AND {due} <= ?),
       (SELECT count(*) FROM {table} WHERE {state} = 'claimed' AND {due} IS NOT NULL),
       (SELECT min({due}) FROM {table} WHERE {state} = 'pending' AND {due} <= ?),
       (SELECT count(*) FROM {table} WHERE {due} IS NOT NULL),
       (SELECT max(rowid) FROM {table}),
       (SELECT count(*) FROM {table} WHERE {state} = 'pending' AND {due} > ? AND {due} <= ?)"""

_IS_CLAIMED = "SELECT 1 FROM {table} WHERE {id} = ? AND {state} = 'claimed'"
_NEXT_ROWID = "SELECT min(rowid) FROM {table} WHERE rowid > ?"

_UNCLAIMABLE = """
SELECT why, count(*), min(id) FROM (
  SELECT {id} AS id, CASE
    WHEN {state} IN ('done', 'dead') THEN NULL
    WHEN {id} IS NULL THEN 'without {id_name}'
    WHEN {state} IN ('pending', 'claimed') THEN CASE
      WHEN {due} IS NULL THEN 'without {due_name}'
      WHEN typeof({due}) NOT IN ('integer', 'real') AND {due} GLOB '*[^0-9.]*' THEN 'whose {due_name} is a text'
      WHEN {due} > ? THEN 'whose {due_name} is no unix time in seconds' END
    WHEN {state} IS NULL THEN 'without {state_name}'
    WHEN {due} IS NOT NULL OR lower(trim({state})) IN ('pending', 'claimed')
      THEN 'whose {state_name} is neither pending, claimed, done nor dead' END AS why
  FROM {table} WHERE rowid > ? AND rowid <= ?) WHERE why IS NOT NULL GROUP BY why"""

_CREATE = """
CREATE TABLE IF NOT EXISTS {table} (
  {id} INTEGER PRIMARY KEY AUTOINCREMENT, {payload} BLOB NOT NULL, {state} TEXT NOT NULL DEFAULT 'pending',
  {due} REAL, {attempts} INTEGER NOT NULL DEFAULT 0, {first} REAL, {lease} TEXT, {settled} REAL)"""

_INDEX = "CREATE INDEX IF NOT EXISTS {index} ON {table} ({state}, {due}) WHERE {due} IS NOT NULL"
_ENQUEUE = "INSERT INTO {table} ({payload}, {state}, {due}) VALUES (?, 'pending', ?)"


@dataclass(frozen=True, slots=True)
class Statements:
    """One table's SQL. The parameters, in order:

    claim, claim_fresh: end of the lease, token, now, limit, now, limit, limit · has_due: now, now ·
    done, dead: now, id, token · resolve: now, what the id may be, thrice · free: due, id, token ·
    defer: due, attempts, first attempt, id, token ·
    give_back: now, first token, token after the last, JSON list of tokens to spare · renew: end of the lease, token ·
    lag: now, now, now, now, the farthest time · is_claimed: id · next_rowid: rowid · unclaimable: the farthest time,
    rowid before the first, rowid of the last · enqueue: payload, due.
    """

    claim: str
    claim_fresh: str
    has_due: str
    done: str
    dead: str
    resolve: str
    free: str
    defer: str
    give_back: str
    renew: str
    lag: str
    is_claimed: str
    next_rowid: str
    unclaimable: str
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
        claim=_CLAIM.format(**quoted, only=""),
        claim_fresh=_CLAIM.format(**quoted, only=_FRESH.format(**quoted)),
        has_due=_HAS_DUE.format(**quoted),
        done=(_KEEP if options.done == "keep" else _DELETE).format(**quoted),
        dead=_DEAD.format(**quoted),
        resolve=(_RESOLVE if options.done == "keep" else _DELETE_DEAD).format(**quoted),
        free=_FREE.format(**quoted),
        defer=_DEFER.format(**quoted),
        give_back=_GIVE_BACK.format(**quoted),
        renew=_RENEW.format(**quoted),
        lag=_LAG.format(**quoted),
        is_claimed=_IS_CLAIMED.format(**quoted),
        next_rowid=_NEXT_ROWID.format(**quoted),
        unclaimable=_UNCLAIMABLE.format(
            **quoted, id_name=names["id"], due_name=names["due"], state_name=names["state"]
        ),
        create=_CREATE.format(**quoted),
        index=_INDEX.format(**quoted),
        enqueue=_ENQUEUE.format(**quoted),
    )
