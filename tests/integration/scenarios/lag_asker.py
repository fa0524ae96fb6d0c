"""A member of a group that asks for its lag: `python -m integration.scenarios.lag_asker BROKERS TOPIC GROUP`.

It writes a line a question, `away` or `answered`, and ends after ANSWERS answers: what a client does late, with the
answer to a question that was given up, it does in between.
"""

from __future__ import annotations

import os
import sys
import threading

from consumerd.errors import SourceAwayError
from integration.scenarios.kafka_member import Seat

ANSWERS = 10
PAUSE_S = 0.2


def main() -> None:
    brokers, topic, group = sys.argv[1:]
    source = Seat(brokers, topic, group).open()
    answered = 0
    while answered < ANSWERS:
        try:
            source.fetch(0, 0.0)
            source.lag()
        except SourceAwayError:
            print("away", flush=True)
        else:
            answered += 1
            print("answered", flush=True)
        threading.Event().wait(PAUSE_S)
    os._exit(0)  # as it stands: an orderly end is another test's matter


if __name__ == "__main__":
    main()
