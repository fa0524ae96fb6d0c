"""Moves old rows out of the tables that the game works with: a page at a time, each in a small transaction.

Rows go to a table `…_archive` beside theirs, or to files: compressed JSON Lines, each with a manifest beside it that
says how many rows it has, of which ids, and its checksum. Nothing is deleted before its copy was read back and found to
be the same. A page that was interrupted is done again, from the same first row on: rows are only taken away whole.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, bindparam, text

from gop_consumer.database import Row

LOAD = {"mysql": text("SHOW GLOBAL STATUS LIKE 'Threads_running'")}
RESTORED = ".restored"


class NotArchivedError(Exception):
    """A copy is not the same as what it was made of: nothing was deleted."""


@dataclass(frozen=True, slots=True)
class Aging:
    """A table of which rows grow old. state: of those that are finished; age: the column that says since when.

    An index on (state, age) finds them.
    """

    name: str
    state: str
    age: str

    @property
    def old(self) -> str:
        return f"FROM {self.name} WHERE state = '{self.state}' AND {self.age} < :before"


TABLES = (Aging("game_order", "finished", "finished_at"), Aging("app_event", "sent", "created_at"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be archived of one table."""

    table: str
    rows: int
    pages: int
    oldest: str | None
    newest: str | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What stands in a file of archived rows. sha256: of the uncompressed lines."""

    table: str
    rows: int
    first_id: int
    last_id: int
    sha256: str


Keep = Callable[[Connection, Aging, Sequence[Row]], None]
"""Keeps a page of rows durably, or raises: they are deleted next."""


def plan(connection: Connection, aging: Aging, before: datetime, page: int) -> Plan:
    """How much there is, without changing anything."""
    query = text(f"SELECT count(*) AS number, min({aging.age}) AS oldest, max({aging.age}) AS newest {aging.old}")
    row = connection.execute(query, {"before": _written(before)}).one()
    return Plan(aging.name, row.number, -(-row.number // page), _shown(row.oldest), _shown(row.newest))


def archive_page(connection: Connection, aging: Aging, before: datetime, page: int, keep: Keep) -> int:
    """Archive the oldest rows, at most `page` of them, in the caller's transaction; how many those were."""
    lock = _lock(connection, aging)  # nobody changes them meanwhile
    chosen = text(f"SELECT * {aging.old} ORDER BY {aging.age}, id LIMIT :page {lock}")
    rows = [dict(row) for row in connection.execute(chosen, {"before": _written(before), "page": page}).mappings()]
    if rows:
        keep(connection, aging, rows)
        _all(connection, f"DELETE FROM {aging.name} WHERE id IN :ids AND state = '{aging.state}'", rows)
    return len(rows)


def into_table(connection: Connection, aging: Aging, rows: Sequence[Row]) -> None:
    """Into the table `…_archive`, in the same transaction: there, or here, and never in both."""
    columns = ", ".join(rows[0])
    source = f"SELECT {columns} FROM {aging.name} WHERE id IN :ids"
    _all(connection, f"INSERT INTO {aging.name}_archive ({columns}) {source}", rows)


def into_files(folder: Path) -> Keep:
    """Into a file of this folder, on the disk before the transaction ends, and read back."""

    def keep(connection: Connection, aging: Aging, rows: Sequence[Row]) -> None:
        del connection
        lines = b"".join(json.dumps(row, default=_as_json).encode() + b"\n" for row in rows)
        ids = [row["id"] for row in rows]
        manifest = Manifest(aging.name, len(rows), min(ids), max(ids), hashlib.sha256(lines).hexdigest())
        path = folder / f"{aging.name}-{ids[0]:012}.jsonl.gz"  # by its first row: done again, it is the same file
        write_whole(path, gzip.compress(lines, mtime=0))
        if read_rows(path, manifest) != [json.loads(line) for line in lines.splitlines()]:
            raise NotArchivedError(f"{path} does not say what was written")
        write_whole(manifest_of(path), json.dumps(asdict(manifest)).encode())

    return keep


def read_rows(path: Path, manifest: Manifest | None = None) -> list[Row]:
    """The rows of a file, checked by its manifest; NotArchivedError."""
    if manifest is None:
        manifest = Manifest(**json.loads(manifest_of(path).read_bytes()))
    lines = gzip.decompress(path.read_bytes())
    if hashlib.sha256(lines).hexdigest() != manifest.sha256:
        raise NotArchivedError(f"{path} is not what its manifest says: restore it from a copy")
    rows: list[Row] = [json.loads(line) for line in lines.splitlines()]
    return rows


def restore(connection: Connection, path: Path) -> int:
    """Put the rows of a file back, in the caller's transaction, those that are there already left out; how many."""
    manifest = Manifest(**json.loads(manifest_of(path).read_bytes()))
    rows = read_rows(path, manifest)
    columns, values = ", ".join(rows[0]), ", ".join(f":{name}" for name in rows[0])
    ignore = "OR IGNORE" if connection.dialect.name == "sqlite" else "IGNORE"
    insert = text(f"INSERT {ignore} INTO {manifest.table} ({columns}) VALUES ({values})")
    return sum(connection.execute(insert, row).rowcount for row in rows)


def set_aside(path: Path) -> None:
    """After its rows are back: they may be archived again, into another file of this name. What was set aside before
    stays: rows that were left out stand there alone.
    """
    for each in (manifest_of(path), path):
        numbered = (each.with_name(f"{each.name}{RESTORED}{number or ''}") for number in count())
        each.rename(next(path for path in numbered if not path.exists()))


def manifest_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".jsonl.gz") + ".manifest.json")


def files(folder: Path) -> Iterator[Path]:
    """Those that are whole: a file without its manifest was interrupted, and its rows are where they were."""
    return (path for path in sorted(folder.glob("*.jsonl.gz")) if manifest_of(path).exists())


def load(connection: Connection) -> int:
    """How many statements the server is running; 0 where there is no server."""
    query = LOAD.get(connection.dialect.name)
    return 0 if query is None else int(connection.execute(query).one()[1])


def _lock(connection: Connection, aging: Aging) -> str:
    """What locks the rows that are chosen; a SQLite file is locked as a whole, by a statement that changes nothing."""
    if connection.dialect.name != "sqlite":
        return "FOR UPDATE"
    connection.execute(text(f"DELETE FROM {aging.name} WHERE 0"))
    return ""


def _as_json(value: object) -> str:
    """As text that a database reads back as the same value; NotArchivedError for what JSON cannot say, as bytes."""
    if isinstance(value, date | Decimal):
        return str(value)
    raise NotArchivedError(f"a value of type {type(value).__name__} cannot stand in JSON: archive into a table")


def _all(connection: Connection, statement: str, rows: Sequence[Row]) -> None:
    """Execute it for the ids of these rows; NotArchivedError unless it is about each."""
    prepared = text(statement).bindparams(bindparam("ids", expanding=True))
    if connection.execute(prepared, {"ids": [row["id"] for row in rows]}).rowcount != len(rows):
        raise NotArchivedError(f"not about all {len(rows)} rows, which somebody has changed meanwhile: {statement}")


def write_whole(path: Path, content: bytes) -> None:
    """All of it under its name, and on the disk; or nothing."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _shown(value: object) -> str | None:
    return None if value is None else str(value)
