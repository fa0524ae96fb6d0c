"""Loading as a zygote or an executed worker does it: the consumer, or why not, told and not raised."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from pathlib import Path

from consumerd.config.redaction import Redactor
from consumerd.config.secrets import Resolver
from consumerd.config.shape import ConsumerSettings, Settings
from consumerd.errors import ConsumerdError
from consumerd.store.opening import check_parking, resolve_parking
from consumerd.worker.loader import LoadedConsumer, load_consumer


@dataclass(frozen=True)
class Failure:
    """reason: one line for each mistake; traceback: what user code raised, where it did."""

    reason: str
    traceback: str


def load(consumer: ConsumerSettings, settings: Settings, state_dir: Path) -> LoadedConsumer | Failure:
    """Load the consumer's code and check its options and its parking store's, with the environment of this process."""
    try:
        loaded = load_consumer(consumer, os.environ)
        check_parking(resolve_parking(settings.parking, os.environ, consumer.directory).value, state_dir)
    except ConsumerdError as error:
        raised = error.__cause__
        trace = "" if raised is None else "".join(traceback.format_exception(raised))
        redact = _redactor(consumer, settings).redact
        return Failure(redact(str(error)), redact(trace))
    return loaded


def _redactor(consumer: ConsumerSettings, settings: Settings) -> Redactor:
    """Of every secret that the consumer's code could have seen."""
    resolver = Resolver(os.environ, consumer.directory)
    values = (dict(consumer.configs), settings.parking)
    return Redactor(frozenset().union(*(resolver.resolve(value).secrets for value in values)))
