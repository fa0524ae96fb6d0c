"""What the demo produces: logins, and a handful of tasks that can only fail. Pure."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

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
