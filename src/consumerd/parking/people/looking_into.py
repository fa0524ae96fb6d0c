"""Which parked tasks have records that a condition on their JSON chooses: their payloads are read and compared here.

A function is one step within the caller's transaction, and reads no more than `MOST_BYTES` of contents, or one task's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, select

from consumerd.database.claims import ClaimedRow
from consumerd.parking.claims import read_parts, within_size
from consumerd.parking.people.json_path import Where
from consumerd.parking.records import in_chunks, joined
from consumerd.parking.schema import PARKED

MOST_BYTES = 32 * 1024 * 1024
ROWS_AT_ONCE = 50


def looked_into(
    connection: Connection, candidates: Sequence[ClaimedRow], where: Where, limit: int | None = None
) -> tuple[list[str], int]:
    """The keys, among `(key, size in bytes)`, of tasks whose records the condition chooses, at most `limit` of them;
    and how many of the first candidates were looked at.
    """
    within = [key for key, _ in within_size(candidates, MOST_BYTES)]
    found: list[str] = []
    for number, (key, payload) in enumerate(_payloads(connection, within), 1):
        if where.matches(payload):
            found.append(key)
            if len(found) == limit:
                return found, number
    return found, len(within)


def _payloads(connection: Connection, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for some in in_chunks(keys, ROWS_AT_ONCE):
        columns = select(PARKED.c.id, PARKED.c.payload, PARKED.c.parts).where(PARKED.c.id.in_(some))
        rows = {row.id: row for row in connection.execute(columns)}
        for key in some:
            if key not in rows:
                yield key, b""  # it went meanwhile
            elif rows[key].parts:
                yield key, joined(read_parts(connection, key)).payload
            else:
                yield key, bytes(rows[key].payload or b"")
