"""What the demo produces, and the balance: that against what became of it, by plain SQL from the databases alone.

Nothing that consumerd says of itself goes in here: not its counters, not its log.
"""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

GrantKey = tuple[int, int, int]
"""(platform, uid, app_id)"""

_USERS = 300
_FIRST_LOGIN_AT = 1_700_000_000


class Login(NamedTuple):
    """One login, as its record says it. `id` tells two equal logins apart in the balance."""

    id: int
    platform: int
    uid: int
    app_id: int
    now: int

    @property
    def grant(self) -> GrantKey:
        """The grant that it uses."""
        return self.platform, self.uid, self.app_id

    @property
    def payload(self) -> bytes:
        """Its record as JSON."""
        return json.dumps(self._asdict()).encode()


POISON = {
    b'{"id": -1, "platform": 1, "uid": 7, "app_': "UndecodableError",
    b"[1, 7, 100067, 1700000000]": "TypeError",
    b'{"id": -3, "platform": 1, "app_id": 100067, "now": 1700000000}': "KeyError",
    b'{"id": -4, "platform": 1, "uid": 7, "app_id": 100067, "now": "noon"}': "TypeError",
    b'{"id": -5, "platform": 1, "uid": 7, "app_id": 100067, "now": 1700000000, "ticks_per_s": 0}': "ZeroDivisionError",
}
"""Payloads that can only fail, with the type of error that each must be parked with."""


def make_logins(count: int) -> tuple[Login, ...]:
    """`count` logins, always the same. Those of one grant are out of order: only the newest may stay."""
    chance = random.Random(1)  # noqa: S311 - nothing here is a secret
    return tuple(
        Login(
            id=number,
            platform=chance.choice((1, 2)),
            uid=chance.randrange(_USERS),
            app_id=chance.choice((100067, 100068, 100069)),
            now=_FIRST_LOGIN_AT + chance.randrange(count * 10),
        )
        for number in range(1, count + 1)
    )


def payloads(logins: Sequence[Login]) -> list[bytes]:
    """All tasks in the order in which they are produced, the poison spread evenly among the logins."""
    mixed = [login.payload for login in logins]
    gap = max(1, len(mixed) // (len(POISON) + 1))
    for number, bad in enumerate(POISON, start=1):
        mixed.insert(number * gap + number - 1, bad)
    return mixed


def newest(logins: Iterable[Login]) -> dict[GrantKey, int]:
    """The newest `now` of each grant: what the grants must be in the end."""
    return dict(sorted((login.grant, login.now) for login in logins))  # of one grant the newest comes last


@dataclass(frozen=True, slots=True)
class Books:
    """What is in the databases at the end, and what is known to have gone into them.

    logins: what was produced, beside the poison.
    handled: (login id, pid of the worker), for every time that a login was handled, in that order.
    parked: (payload, error) of each task in the parking store.
    grants: the last use of each grant.
    pending: how many rows of the table are neither done nor parked.
    killed_pid: of the worker that the demo killed.
    """

    logins: Sequence[Login]
    handled: Sequence[tuple[int, int]]
    parked: Sequence[tuple[bytes, str]]
    grants: Mapping[GrantKey, int]
    pending: int
    killed_pid: int | None


@dataclass(frozen=True, slots=True)
class Balance:
    """The result.

    lost: tasks that are neither done nor parked. repeated: how often a login was handled once more.
    problems: a sentence for everything that is not as it must be.
    """

    produced: int
    done: int
    parked: int
    lost: int
    pending: int
    repeated: int
    problems: tuple[str, ...]


def strike(books: Books) -> Balance:
    """The balance of these books."""
    done = {login_id for login_id, _ in books.handled}
    parked = Counter(payload for payload, _ in books.parked)
    lost = [login.payload for login in books.logins if login.id not in done and login.payload not in parked]
    lost += [payload for payload in POISON if payload not in parked]
    expected = newest(books.logins)
    wrong = [key for key in expected.keys() | books.grants.keys() if expected.get(key) != books.grants.get(key)]
    never_produced = done - {login.id for login in books.logins}
    misplaced = [f"{payload!r} ({error})" for payload, error in books.parked if POISON.get(payload, "\0") not in error]
    twice = [payload for payload, times in parked.items() if times > 1]
    by_login = pairwise(sorted(books.handled, key=itemgetter(0)))  # of one login still in the order of the handling
    unexplained = [again for (login, pid), (again, _) in by_login if login == again and pid != books.killed_pid]
    findings = (
        (lost, "task(s) are neither done nor parked"),
        (twice, "task(s) are parked more than once"),
        (misplaced, "task(s) are parked that were made to succeed, or for another reason than theirs"),
        (wrong, "grant(s) are not the newest that was produced"),
        (never_produced, "login(s) were handled and never produced"),
        (unexplained, "repetition(s) that no kill explains"),
        (["in the table"] * books.pending, "task(s) are still pending"),
    )
    return Balance(
        produced=len(books.logins) + len(POISON),
        done=len(done),
        parked=len(books.parked),
        lost=len(lost),
        pending=books.pending,
        repeated=len(books.handled) - len(done),
        problems=tuple(f"{len(found)} {what}, first {next(iter(found))}" for found, what in findings if found),
    )


def select(path: Path, statement: str) -> list[tuple[Any, ...]]:  # columns of any type
    """The rows of a SELECT on a SQLite file."""
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as database:
        return database.execute(statement).fetchall()
