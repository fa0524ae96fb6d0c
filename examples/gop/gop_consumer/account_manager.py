"""Game accounts, and the changes to them. Each change has the number that its account's version has after it.

A change is applied when it is the next one of its account. One that is ahead is kept, and applied together with the one
that was missing, so that nobody has to wait for it. Each of its effects is there once: the account's version and what
the change did are written in one transaction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Literal

from sqlalchemy import Connection, text

# A statement that writes comes first: on any database it takes the row, or the file, until the transaction ends.
_TAKE = text("UPDATE account SET version = version WHERE account_id = :account_id")
_VERSION = text("SELECT version FROM account WHERE account_id = :account_id")
_NOTED = text("SELECT change_id FROM account_change WHERE account_id = :account_id AND version = :version")
_NOTE = text(
    "INSERT INTO account_change (account_id, version, change_id, what, value)"
    " VALUES (:account_id, :version, :change_id, :what, :value)"
)
_NOTE_ODD = text(
    "INSERT INTO account_odd_change (account_id, version, change_id, verdict)"
    " VALUES (:account_id, :version, :change_id, :verdict)"
)
_KEPT = text(
    "SELECT version, what, value FROM account_change"
    " WHERE account_id = :account_id AND version > :version ORDER BY version"
)
_EFFECTS = {
    "level": text("UPDATE account SET version = :version, level = :value WHERE account_id = :account_id"),
    "coins": text("UPDATE account SET version = :version, coins = coins + :value WHERE account_id = :account_id"),
    "ban": text("UPDATE account SET version = :version, is_banned = :value WHERE account_id = :account_id"),
}


class UnknownAccountError(LookupError):
    """No account has this id."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one change does: sets the level, adds coins (or takes some), sets the ban (1) or lifts it (0)."""

    account_id: int
    version: int
    change_id: str
    what: Literal["level", "coins", "ban"]
    value: int


class Verdict(StrEnum):
    """What became of a change.

    STALE: the account is past its version, by another change. DUPLICATE: this very change has come before.
    GAP: one before it is missing; it is kept until that one comes.
    """

    APPLIED = "applied"
    STALE = "stale"
    DUPLICATE = "duplicate"
    GAP = "gap"


def apply_change(connection: Connection, change: Change) -> Verdict:
    """Apply a change, with those that were kept for it, in the caller's transaction; UnknownAccountError."""
    if not connection.execute(_TAKE, asdict(change)).rowcount:
        raise UnknownAccountError(f"no account has the id {change.account_id}")
    version = connection.execute(_VERSION, asdict(change)).scalar_one()
    verdict = _judge(connection, change, version)
    if verdict in (Verdict.APPLIED, Verdict.GAP):
        connection.execute(_NOTE, asdict(change))
    if verdict is Verdict.APPLIED:
        _apply_from(connection, change.account_id, version)
    else:
        connection.execute(_NOTE_ODD, {**asdict(change), "verdict": verdict})
    return verdict


def _judge(connection: Connection, change: Change, version: int) -> Verdict:
    noted = connection.execute(_NOTED, asdict(change)).scalar()
    if noted == change.change_id:
        return Verdict.DUPLICATE
    if noted is not None or change.version <= version:
        return Verdict.STALE
    return Verdict.APPLIED if change.version == version + 1 else Verdict.GAP


def _apply_from(connection: Connection, account_id: int, version: int) -> None:
    """Apply what is noted, as far as nothing is missing."""
    kept = connection.execute(_KEPT, {"account_id": account_id, "version": version}).all()
    for number, row in enumerate(kept, start=version + 1):
        if row.version != number:
            return
        connection.execute(_EFFECTS[row.what], {"account_id": account_id, "version": number, "value": row.value})
