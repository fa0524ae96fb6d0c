"""What the demo produces: logins, a handful of tasks that can only fail; and what the grants must be then. Pure."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

PLATFORMS = (1, 2)
APPS = (100067, 100068, 100069)
USERS = 300
FIRST_LOGIN_AT = 1_700_000_000

GrantKey = tuple[int, int, int]
"""(platform, uid, app_id)"""


@dataclass(frozen=True, slots=True)
class Login:
    """One login, as its record says it. `id` tells two equal logins apart in the books."""

    id: int
    platform: int
    uid: int
    app_id: int
    now: int

    @property
    def payload(self) -> bytes:
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class Poison:
    """A task that can only fail. `why` is for people, `error` the type that its parked row must name."""

    why: str
    payload: bytes
    error: str


POISON = (
    Poison("not JSON", b'{"id": -1, "platform": 1, "uid": 7, "app_', "UndecodableError"),
    Poison("a list, not an object", b"[1, 7, 100067, 1700000000]", "TypeError"),
    Poison("no uid", b'{"id": -3, "platform": 1, "app_id": 100067, "now": 1700000000}', "KeyError"),
    Poison("a time that is text", b'{"id": -4, "platform": 1, "uid": 7, "app_id": 100067, "now": "noon"}', "TypeError"),
    Poison(
        "a handler that divides by zero",
        b'{"id": -5, "platform": 1, "uid": 7, "app_id": 100067, "now": 1700000000, "ticks_per_s": 0}',
        "ZeroDivisionError",
    ),
)


def make_logins(count: int, seed: int = 1) -> tuple[Login, ...]:
    """`count` logins, the same for the same seed. Those of one grant are out of order: only the newest may stay."""
    chance = random.Random(seed)  # noqa: S311 - nothing here is a secret
    return tuple(
        Login(
            id=number,
            platform=chance.choice(PLATFORMS),
            uid=chance.randrange(USERS),
            app_id=chance.choice(APPS),
            now=FIRST_LOGIN_AT + chance.randrange(count * 10),
        )
        for number in range(1, count + 1)
    )


def payloads(logins: Sequence[Login], poison: Sequence[Poison] = POISON) -> list[bytes]:
    """All tasks in the order in which they are produced, the poison spread evenly among the logins."""
    mixed = [login.payload for login in logins]
    gap = max(1, len(mixed) // (len(poison) + 1))
    for number, bad in enumerate(poison, start=1):
        mixed.insert(min(number * gap + number - 1, len(mixed)), bad.payload)
    return mixed


def newest(logins: Iterable[Login]) -> dict[GrantKey, int]:
    """The newest `now` for each (platform, uid, app_id): what the grants must be."""
    grants: dict[GrantKey, int] = {}
    for login in logins:
        key = (login.platform, login.uid, login.app_id)
        grants[key] = max(login.now, grants.get(key, login.now))
    return grants
