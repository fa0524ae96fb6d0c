"""A real Kafka broker for benchmarks, as the tests start theirs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers.kafka import KafkaServer


@contextmanager
def kafka() -> Iterator[KafkaServer]:
    """A broker of our own, stopped at the end."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from servers.kafka import KafkaServer

    server = KafkaServer.launch()
    try:
        yield server
    finally:
        server.stop()
