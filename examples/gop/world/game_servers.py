"""The game servers of all apps: `python -m world.game_servers --ledger FILE --seed N --outage SECONDS`.

They verify each webhook, and grant what was paid for once for each `webhook-id`. By app: one is fine, one fails now and
then and sometimes grants without an answer, one is away at first and then asks for patience, one is gone, one refuses
every fifth payment.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

from gop_consumer import webhook
from world.ledger import Ledger
from world.load import BROKEN, FLAKY, GONE, NEVER_TAKEN, OUTAGE
from world.server import Counts, Reply, serve

SECRET, PREVIOUS_SECRET = "whsec_Z29wLXNlY3JldC1vZi10b2RheQ", "whsec_Z29wLXNlY3JldC1iZWZvcmU"


class GameServers:
    def __init__(self, ledger: Ledger, seed: int, outage_s: float) -> None:
        self._ledger = ledger
        self._chance = random.Random(seed)
        self._away_until = time.monotonic() + outage_s
        self._calls, self._grants = Counts(), Counts()

    def answer(self, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        app_id, message_id = int(path.strip("/")), headers["webhook-id"]
        timestamp = int(headers["webhook-timestamp"])
        if webhook.signature(SECRET, message_id, timestamp, body) not in headers["webhook-signature"].split():
            return Reply(401)
        payment_id = json.loads(body)["data"]["payment_id"]
        reply, is_taken = self._reply(app_id, payment_id, self._calls.one_more(message_id))
        is_granted = is_taken and self._grants.one_more(message_id) == 1
        self._ledger.note(app=app_id, id=message_id, payment=payment_id, status=reply.status, granted=is_granted)
        time.sleep(self._chance.uniform(0, 0.02))
        return reply

    def _reply(self, app_id: int, payment_id: int, call: int) -> tuple[Reply, bool]:
        """What is answered, and whether it is taken."""
        match app_id:
            case _ if app_id == FLAKY and self._chance.random() < 0.2:
                return Reply(500), False
            case _ if app_id == FLAKY and self._chance.random() < 0.1:
                return Reply(None), True
            case _ if app_id == OUTAGE and time.monotonic() < self._away_until:
                return Reply(None), False
            case _ if app_id == OUTAGE and call == 1 and self._chance.random() < 0.5:
                return Reply(429, retry_after_s=1), False
            case _ if app_id == GONE:
                return Reply(410), False
            case _ if app_id == BROKEN and payment_id % NEVER_TAKEN == 0:
                return Reply(422), False
        return Reply(204), True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--outage", type=float, default=5.0)
    arguments = parser.parse_args()
    serve(GameServers(Ledger(arguments.ledger), arguments.seed, arguments.outage).answer)


if __name__ == "__main__":
    main()
