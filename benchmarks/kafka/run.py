"""One run of one loop, in a process of its own: `python -m benchmarks.kafka.run LOOP BROKERS TOPIC RECORDS HANDLER`.

Prints its pace, in records a second.
"""

from __future__ import annotations

import json
import sys
import uuid

from benchmarks.handlers import HANDLERS, Handler, consume
from benchmarks.kafka.bare import run_bare
from benchmarks.runs import Stopwatch

HEAD_START_S = 3.0
READ_AHEAD = {"queued.min.messages": 10_000_000, "queued.max.messages.kbytes": 2_000_000}
"""librdkafka reads as far ahead as it may; the bare loop's and ours alike."""


def run_consumerd(brokers: str, topic: str, handler: Handler, watch: Stopwatch, **properties: object) -> None:
    """A consumer of ours in the foreground."""
    from consumerd import KafkaBaseConsumer

    configs = {"brokers": brokers, "topic_name": topic, "consumer_group": uuid.uuid4().hex, **properties}
    consume(KafkaBaseConsumer, handler, watch, configs)


def main() -> None:
    loop, brokers, topic, records, handler = sys.argv[1:]
    watch = Stopwatch(int(records), HEAD_START_S)
    run = {"bare": run_bare, "consumerd": run_consumerd}[loop]
    run(brokers, topic, HANDLERS[handler], watch, **READ_AHEAD)
    print(json.dumps(watch.answer))


if __name__ == "__main__":
    main()
