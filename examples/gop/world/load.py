"""What the players do, always the same for one seed: logins, changes of accounts, payments. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gop_consumer.channel_client import Status

Record = dict[str, Any]  # what JSON has

FIRST_LOGIN_AT = 1_700_000_000
POISON = (b'{"platform": 1, "uid": 7, "app_', b'{"platform": 1, "app_id": 7, "now": 1700000000}')
UNKNOWN_ACCOUNT = {"account_id": 10**9, "version": 1, "change_id": "nobody's", "what": "coins", "value": 1}

FINE, FLAKY, OUTAGE, GONE, BROKEN = 7, 8, 9, 10, 11
"""The apps, by how their game servers are."""
NEVER_TAKEN = 5
"""Every so manieth payment of the app that is broken."""
APPS = (FINE, FLAKY, OUTAGE, GONE, BROKEN)
CHANNELS = ("wechat", "unionpay")


@dataclass(frozen=True, slots=True)
class Load:
    """How much of each: `accounts` are the players; the others are counts of tasks."""

    seed: int
    accounts: int
    logins: int
    changes: int
    payments: int
    orders: int


@dataclass(frozen=True, slots=True)
class Truth:
    """What a channel knows of a payment. status: UNKNOWN or PENDING where it never decides.

    questions: so many are answered with `before`. calls_back: the channel tells us by itself, too.
    """

    payment_id: int
    app_id: int
    channel: str
    amount: int
    status: Status
    before: Status
    questions: int
    calls_back: bool


def logins(load: Load) -> list[Record | bytes]:
    """In the order in which they are produced. A few players log in again and again, as real ones do."""
    chance = random.Random(load.seed)
    made: list[Record | bytes] = [
        {
            "platform": chance.choice((1, 2)),
            "uid": min(int(chance.paretovariate(0.7)), load.accounts),
            "app_id": chance.choice((FINE, FLAKY)),
            "now": FIRST_LOGIN_AT + chance.randrange(load.logins),
        }
        for _ in range(load.logins - len(POISON))
    ]
    return [*made, *POISON]


def grant_of(use: Record) -> tuple[int, int, int]:
    """The key of the grant that a login changes."""
    return use["platform"], use["uid"], use["app_id"]


def newest(records: Sequence[Record | bytes]) -> dict[tuple[int, int, int], int]:
    """What the grants must be in the end."""
    uses = (record for record in records if isinstance(record, dict))
    return dict(sorted((grant_of(use), use["now"]) for use in uses))


def changes(load: Load) -> list[Record]:
    """As they come: some twice, some in the wrong order, some made anew by the game, under another id."""
    chance = random.Random(load.seed + 1)
    made = [record for _, record in sorted(_moved(_changes(load, chance), chance), key=lambda pair: pair[0])]
    return [*made, UNKNOWN_ACCOUNT]


def _changes(load: Load, chance: random.Random) -> Iterator[Record]:
    versions: dict[int, int] = {}
    for _ in range(load.changes):
        account_id = chance.randrange(1, load.accounts + 1)
        version = versions[account_id] = versions.get(account_id, 0) + 1
        what = chance.choice(("level", "coins", "coins", "coins", "ban"))
        value = {"level": version, "coins": chance.randrange(-50, 100), "ban": version % 2}[what]
        yield {
            "account_id": account_id,
            "version": version,
            "change_id": f"{account_id}-{version}",
            "what": what,
            "value": value,
        }


def _moved(records: Iterator[Record], chance: random.Random) -> Iterator[tuple[float, Record]]:
    for place, record in enumerate(records):
        yield place + (chance.random() < 0.05) * chance.uniform(0, 200), record
        if chance.random() < 0.05:
            yield place + chance.uniform(0, 200), record
        if chance.random() < 0.02:
            yield place + chance.uniform(0, 200), {**record, "change_id": f"{record['change_id']}-again"}


def accounts(records: Sequence[Record]) -> dict[int, tuple[int, int, int, int]]:
    """Version, level, coins and ban of each account after these changes, each once and in order."""
    ended: dict[int, tuple[int, int, int, int]] = {}
    own = {(record["account_id"], record["version"]): record for record in reversed(records)}  # the first one counts
    own.pop((UNKNOWN_ACCOUNT["account_id"], 1))
    for (account_id, version), record in sorted(own.items(), key=lambda pair: pair[0]):
        _, level, coins, ban = ended.get(account_id, (0, 1, 0, 0))
        what, value = record["what"], record["value"]
        level, ban = (value if what == "level" else level), (value if what == "ban" else ban)
        ended[account_id] = (version, level, coins + (value if what == "coins" else 0), ban)
    return ended


def payments(load: Load) -> list[Truth]:
    """Most are paid; a few are never decided, and those a person has to look at."""
    chance = random.Random(load.seed + 2)
    fates = (Status.PAID,) * 15 + (Status.DECLINED,) * 4 + (Status.PENDING, Status.UNKNOWN)
    made = []
    for payment_id in range(1, load.payments + 1):
        status = chance.choice(fates)
        before = chance.choice((Status.PENDING, Status.UNKNOWN)) if status.is_final else status
        calls_back, amount = status.is_final and chance.random() < 0.4, chance.randrange(1, 1000) * 100
        channel, app_id = chance.choice(CHANNELS), chance.choice(APPS)
        made.append(Truth(payment_id, app_id, channel, amount, status, before, chance.randrange(4), calls_back))
    return made
