"""The balance of the five daemons, from the world's ledgers and plain SQL.

`done` is what has its effect, `parked` what waits for a person, `expired` what was given up after its time, `left` what
is still under way. What is none of these is *lost*. An effect that is there more often than once is *doubled*.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gop_consumer import archive_manager
from world import ledger, load
from world.load import BROKEN, GONE, NEVER_TAKEN, Load, Truth

TRIGGERS = """
CREATE TABLE effect (daemon TEXT, what TEXT, value TEXT);
CREATE TRIGGER grant_made AFTER INSERT ON login_grant BEGIN INSERT INTO effect VALUES ('logins', 'write', ''); END;
CREATE TRIGGER grant_changed AFTER UPDATE ON login_grant BEGIN INSERT INTO effect VALUES ('logins', 'write', ''); END;
CREATE TRIGGER change_applied AFTER UPDATE ON account WHEN NEW.version <> OLD.version
BEGIN INSERT INTO effect VALUES ('accounts', NEW.account_id || '-' || NEW.version, NEW.coins - OLD.coins); END;
CREATE TRIGGER payment_settled AFTER UPDATE ON payment WHEN NEW.settled_by IS NOT NULL
BEGIN INSERT INTO effect VALUES ('checks', NEW.payment_id, NEW.status); END;
"""
"""The world's own ledger of what is written, kept in the transaction that writes it: it has neither more nor less."""


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
        return self.produced - self.done - self.parked - self.expired - self.left + self.wrong

    @property
    def is_even(self) -> bool:
        return self.lost == self.left == self.doubled == 0


class Books:
    """Reads what there is at the end."""

    def __init__(self, database: Path, game_servers: Path, archive: Path, produced: Load) -> None:
        self._database, self._archive, self._load = database, archive, produced
        self._calls = ledger.read(game_servers)

    def lines(self) -> list[Line]:
        return [self.logins(), self.accounts(), self.notifications(), self.checks(), self.archive()]

    def logins(self) -> Line:
        records = load.logins(self._load)
        states, expected = self._states("login_task"), load.newest(records)
        columns = "platform, uid, app_id, last_use_time"
        found = {tuple(key): now for *key, now in self._select(f"SELECT {columns} FROM login_grant")}
        writes = self._select("SELECT count(*) FROM effect WHERE daemon = 'logins'")[0][0]
        return Line(
            "update login grant time",
            produced=len(records),
            done=states["done"],
            parked=states["dead"],
            left=states["pending"] + states["claimed"],
            wrong=len(expected.items() ^ found.items()),
            note=f"{writes} rows written for {states['done']} logins",
        )

    def accounts(self) -> Line:
        records = load.changes(self._load)
        states, expected = self._states("account_change_task"), load.accounts(records)
        columns = "account_id, version, level, coins, is_banned"
        found = {key: tuple(rest) for key, *rest in self._select(f"SELECT {columns} FROM account WHERE version > 0")}
        odd = self._select("SELECT verdict, count(*) FROM account_odd_change GROUP BY verdict ORDER BY verdict")
        applied = self._select("SELECT what FROM effect WHERE daemon = 'accounts'")
        return Line(
            "update user game account",
            produced=len(records),
            done=states["done"],
            parked=states["dead"],
            left=states["pending"] + states["claimed"],
            wrong=len(expected.items() ^ found.items()),
            doubled=_doubled(applied),
            note=", ".join([f"applied {len(applied)}", *(f"{verdict} {number}" for verdict, number in odd)]),
        )

    def notifications(self) -> Line:
        """What is for an app that is gone is parked, what is never taken expires, all else was granted once."""
        rows = self._select("SELECT app_id, state, payment_id FROM payment_notification")
        granted = [call["payment"] for call in self._calls if call["granted"]]
        done = [payment_id for _, state, payment_id in rows if state == "done"]
        return Line(
            "payment notification",
            produced=self._select("SELECT count(*) FROM payment WHERE settled_by IS NOT NULL")[0][0],
            done=len(set(done) & set(granted)),
            parked=sum(state == "dead" and app_id == GONE for app_id, state, _ in rows),
            expired=sum(state == "dead" and app_id == BROKEN and not pid % NEVER_TAKEN for app_id, state, pid in rows),
            left=sum(state in ("pending", "claimed") for _, state, _ in rows),
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
        """All old orders are in files, once each; all others are where they were."""
        files = list(archive_manager.files(self._archive))
        kept = [row["id"] for path in files for row in archive_manager.read_rows(path)]
        old = range(1, self._load.orders + 1)
        here = {number for (number,) in self._select("SELECT id FROM game_order")}
        return Line(
            "archive old data",
            produced=len(old),
            done=len(set(kept) & set(old) - here),
            left=len(here & set(old)),
            wrong=len(set(kept) - set(old)),
            doubled=_doubled(kept),
            note=f"{len(files)} files, {len(here - set(old))} young ones stay",
        )

    def _states(self, table: str) -> Counter[str]:
        return Counter(dict(self._select(f"SELECT state, count(*) FROM {table} GROUP BY state")))

    def _select(self, statement: str) -> list[Any]:
        return select(self._database, statement)


def select(database: Path, statement: str) -> list[Any]:  # rows of any columns
    """The rows of a SELECT."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return connection.execute(statement).fetchall()


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
