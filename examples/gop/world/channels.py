"""The payment channels: `python -m world.channels --load JSON --outage SECONDS`, and GOP_DATABASE for their callbacks.

They are slow now and then, answer 500, answer for another payment, and one of them is away for a while. Of some
payments they tell us by themselves, of a few twice: as a callback endpoint of the platform would write it down.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time

from sqlalchemy.exc import OperationalError

from gop_consumer import database, payment_manager
from gop_consumer.channel_client import Status
from world.load import CHANNELS, Load, Truth, payments
from world.server import Counts, Reply, serve


class Channels:
    def __init__(self, truths: list[Truth], seed: int, outage_s: float) -> None:
        self._truths = {truth.payment_id: truth for truth in truths}
        self._chance = random.Random(seed)
        self._away_until = time.monotonic() + outage_s
        self._questions = Counts()

    def answer(self, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        """To GET /CHANNEL/payments/ID."""
        del body, headers
        channel, _, payment_id = path.strip("/").split("/")
        truth = self._truths[int(payment_id)]
        fault = self._chance.random()
        if fault < 0.05:
            time.sleep(0.3)
        if (channel == CHANNELS[0] and time.monotonic() < self._away_until) or fault > 0.9:
            return Reply(500)
        is_decided = self._questions.one_more(truth.payment_id) > truth.questions
        status = truth.status if is_decided else truth.before
        if status is Status.UNKNOWN:
            return Reply(404)
        about = truth.payment_id + (0.85 < fault < 0.9)
        return Reply(200, json.dumps({"status": status, "payment_id": about, "amount": truth.amount}).encode())

    def call_back(self) -> None:
        """Tell of those payments that are there; each at some time, and a few twice."""
        waiting = [truth for truth in self._truths.values() if truth.calls_back]
        while waiting:
            time.sleep(0.05)
            truth = self._chance.choice(waiting)
            if _settle(truth) and self._chance.random() < 0.8:
                waiting.remove(truth)


def _settle(truth: Truth) -> bool:
    """Whether it was written down."""
    try:
        with database.engine().begin() as connection:
            payment = payment_manager.get_payment(connection, truth.payment_id)
            if payment is not None:
                payment_manager.settle(connection, payment, truth.status, by="callback")
            return payment is not None
    except OperationalError:
        return False  # it calls again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", type=json.loads, required=True)
    parser.add_argument("--outage", type=float, default=5.0)
    arguments = parser.parse_args()
    load = Load(**arguments.load)
    channels = Channels(payments(load), load.seed, arguments.outage)
    threading.Thread(target=channels.call_back, daemon=True).start()
    serve(channels.answer)


if __name__ == "__main__":
    main()
