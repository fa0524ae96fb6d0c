"""The balance of the five daemons, from the world's ledgers and plain SQL: whoever has done their tasks.

`done` is what has its effect, `parked` what waits for a person as it should, `expired` what was given up after its
time, `left` what is still under way. What is none of these is *lost*. An effect that is there more often than once is
*doubled*.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import create_engine, make_url, text

from gop_consumer import archive_manager
from world import ledger, load
from world.load import GONE, UNKNOWN_ACCOUNT, Load, Truth

_NOTES = (
    ("grant_made", "INSERT ON login_grant", "1 = 1", "'logins', 'write', ''"),
    ("grant_changed", "UPDATE ON login_grant", "1 = 1", "'logins', 'write', ''"),
    ("change_applied", "UPDATE ON account", "NEW.version <> OLD.version", "'accounts', {change}, NEW.coins"),
    ("payment_settled", "UPDATE ON payment", "NEW.settled_by IS NOT NULL", "'checks', NEW.payment_id, NEW.status"),
)
"""Triggers: their name, after what, when, and what they note."""
_WAS_TRIED_S = "settled_at - first_at"
LEAST_S = 15.0
"""Nothing is given up sooner: `expire_time` is 20 s here, from which the next pause goes off. What only waited for an
app that was down has no first attempt."""
_CHANGE = {"mysql": "CONCAT(NEW.account_id, '-', NEW.version)", "sqlite": "NEW.account_id || '-' || NEW.version"}


def triggers(backend: str, write_s: float = 0.0) -> list[str]:
    """The world's own ledger of what is written, kept in the transaction that writes it: neither more nor less.

    write_s: what each row of login_grant takes on the disk of this world's server; it is waited for.
    """
    made = ["CREATE TABLE effect (daemon VARCHAR(20), what VARCHAR(64), value VARCHAR(64))"]
    for name, after, when, noted in _NOTES:
        insert = f"INSERT INTO effect SELECT {noted.format(change=_CHANGE[backend])} WHERE {when};"
        wait = f"DO SLEEP({write_s});" if write_s and "login_grant" in after else ""
        made.append(f"CREATE TRIGGER {name} AFTER {after} FOR EACH ROW BEGIN {wait} {insert} END")
    return made


class Topics(Protocol):
    """How far the consumers of topics have come, and what they have put aside for a person."""

    def left(self, topic: str) -> int: ...
    def kept(self, topic: str) -> list[bytes]: ...


class RowsAsTopics:
    """Claimed tables in the place of topics."""

    def __init__(self, database: str) -> None:
        self._database = database

    def left(self, topic: str) -> int:
        query = f"SELECT count(*) FROM {topic}_row WHERE state IN ('pending', 'claimed')"
        return int(select(self._database, query)[0][0])

    def kept(self, topic: str) -> list[bytes]:
        dead = select(self._database, f"SELECT payload FROM {topic}_row WHERE state = 'dead'")
        return [payload for (payload,) in dead]


@dataclass(frozen=True, slots=True)
class Line:
    """One daemon's."""

    daemon: str
    produced: int
    done: int
    parked: int = 0
    expired: int = 0
    left: int = 0
    wrong: int = 0
    doubled: int = 0
    note: str = ""

    @property
    def lost(self) -> int:
        return max(0, self.produced - self.done - self.parked - self.expired - self.left) + self.wrong

    @property
    def is_even(self) -> bool:
        return self.lost == self.left == self.doubled == 0


class Books:
    """Reads what there is at the end. archive: the folder of its files; None where it fills tables."""

    def __init__(
        self, database: str, topics: Topics, produced: Load, *, game_servers: Path, archive: Path | None
    ) -> None:
        self._database, self._topics, self._load, self._archive = database, topics, produced, archive
        self._calls = ledger.read(game_servers)

    def lines(self) -> list[Line]:
        return [self.logins(), self.accounts(), self.notifications(), self.checks(), self.archive()]

    def logins(self) -> Line:
        """One is done when its grant is as new as itself."""
        records = load.logins(self._load)
        fit = [(load.grant_of(record), record["now"]) for record in records if isinstance(record, dict)]
        columns, newest = "platform, uid, app_id, last_use_time", load.newest(records)
        found = {tuple(key): now for *key, now in self._select(f"SELECT {columns} FROM login_grant")}
        writes = self._select("SELECT count(*) FROM effect WHERE daemon = 'logins'")[0][0]
        done = sum(found.get(key, -1) >= now for key, now in fit)
        return Line(
            "update login grant time",
            produced=len(records),
            done=done,
            parked=self._kept("login_task", [record for record in records if isinstance(record, bytes)]),
            left=self._topics.left("login_task"),
            wrong=sum(now > newest.get(key, -1) for key, now in found.items()),
            note=f"{writes} rows written for {done} logins",
        )

    def accounts(self) -> Line:
        """A change is done when its version of the account was there, whoever has brought it."""
        records = load.changes(self._load)
        ended = load.accounts(records)
        columns = "account_id, version, level, coins, is_banned"
        found = {key: tuple(rest) for key, *rest in self._select(f"SELECT {columns} FROM account WHERE version > 0")}
        odd = self._select("SELECT verdict, count(*) FROM account_odd_change GROUP BY verdict ORDER BY verdict")
        applied = [what for (what,) in self._select("SELECT what FROM effect WHERE daemon = 'accounts'")]
        versions = set(applied)
        return Line(
            "update user game account",
            produced=len(records),
            done=sum(f"{record['account_id']}-{record['version']}" in versions for record in records),
            parked=self._kept("account_change", [json.dumps(UNKNOWN_ACCOUNT).encode()]),
            left=self._topics.left("account_change"),
            wrong=sum(end[0] == ended[key][0] and end != ended[key] for key, end in found.items()),
            doubled=_doubled(applied),
            note=", ".join([f"applied {len(applied)}", *(f"{verdict} {number}" for verdict, number in odd)]),
        )

    def notifications(self) -> Line:
        """What is for an app that is gone is parked, what was tried for its time expires, all else was granted once."""
        rows = self._select(f"SELECT app_id, state, payment_id, {_WAS_TRIED_S} FROM payment_notification")
        granted = [call["payment"] for call in self._calls if call["granted"]]
        done = [payment_id for _, state, payment_id, _ in rows if state == "done"]
        return Line(
            "payment notification",
            produced=self._select("SELECT count(*) FROM payment WHERE settled_by IS NOT NULL")[0][0],
            done=len(set(done) & set(granted)),
            parked=sum(state == "dead" and app_id == GONE for app_id, state, *_ in rows),
            expired=sum(
                state == "dead" and app_id != GONE and (tried_s is None or tried_s > LEAST_S)
                for app_id, state, _, tried_s in rows
            ),
            left=sum(state in ("pending", "claimed") for _, state, *_ in rows),
            doubled=_doubled(granted),
            note=f"{len(self._calls)} deliveries, {len(granted)} granted",
        )

    def checks(self) -> Line:
        truths = {truth.payment_id: truth for truth in load.payments(self._load)}
        query = "SELECT p.payment_id, p.status, p.settled_by, c.state FROM payment p JOIN payment_check c"
        rows = self._select(f"{query} USING (payment_id)")
        by = Counter(settled_by for _, _, settled_by, _ in rows)
        return Line(
            "check payment status",
            produced=len(truths),
            done=sum(settled_by is not None for _, _, settled_by, _ in rows),
            parked=sum(settled_by is None and state == "dead" for _, _, settled_by, state in rows),
            left=sum(state in ("pending", "claimed") for *_, state in rows),
            wrong=sum(_is_wrong(truths[payment_id], status) for payment_id, status, *_ in rows),
            doubled=_doubled(self._select("SELECT what FROM effect WHERE daemon = 'checks'")),
            note=f"by question {by['poll']}, by callback {by['callback']}",
        )

    def archive(self) -> Line:
        """All old orders are in the archive, once each; all others are where they were."""
        kept, note = self._archived()
        old = range(1, self._load.orders + 1)
        here = {number for (number,) in self._select("SELECT id FROM game_order")}
        return Line(
            "archive old data",
            produced=len(old),
            done=len(set(kept) & set(old) - here),
            left=len(here & set(old)),
            wrong=len(set(kept) - set(old)),
            doubled=_doubled(kept),
            note=f"{note}, {len(here - set(old))} young ones stay",
        )

    def _archived(self) -> tuple[list[int], str]:
        if self._archive is None:
            return [number for (number,) in self._select("SELECT id FROM game_order_archive")], "in a table"
        files = list(archive_manager.files(self._archive))
        return [row["id"] for path in files for row in archive_manager.read_rows(path)], f"{len(files)} files"

    def _kept(self, topic: str, unfit: Sequence[bytes]) -> int:
        """How many were put aside that nobody could have done: another one that was put aside is not among them."""
        kept = [_content(payload) for payload in self._topics.kept(topic)]
        return sum(_content(payload) in kept for payload in unfit)

    def _select(self, statement: str) -> list[Any]:
        return select(self._database, statement)


def select(database: str, statement: str) -> list[Any]:  # rows of any columns
    """The rows of a SELECT."""
    url = make_url(database)
    engine = create_engine(url, connect_args={"timeout": 30} if url.get_backend_name() == "sqlite" else {})
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]
    finally:
        engine.dispose()


def _content(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except ValueError:
        return bytes(payload)


def sheet(lines: Sequence[Line]) -> str:
    """As people read it."""
    names = ("produced", "done", "parked", "expired", "left", "lost", "doubled")
    rows = [[line.daemon, *(str(getattr(line, name)) for name in names), line.note] for line in lines]
    widths = [max(len(row[column]) for row in [["", *names, ""], *rows]) for column in range(len(names) + 1)]
    shown = [["", *names, ""], *rows]
    return "\n".join(_line(row, widths) for row in shown)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *numbers = (text.ljust(width) if not at else text.rjust(width) for at, (text, width) in enumerate(
        zip(row, widths, strict=False)
    ))  # fmt: skip
    return "  ".join([first, *numbers, row[-1]]).rstrip()


def _doubled(effects: Iterable[Any]) -> int:
    """How many there are more than once."""
    return sum(number - 1 for number in Counter(effects).values())


def _is_wrong(truth: Truth, status: str) -> bool:
    return status in ("paid", "declined") and status != truth.status
