"""Loading as a zygote or an executed worker does it: the consumer, or why not, told and not raised.

What need not be done in each worker is done here, once: what runs before the fork stays shared by all workers.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from consumerd.config.execution import secrets_of_environment
from consumerd.config.redaction import Redactor
from consumerd.config.secrets import Resolver
from consumerd.config.shape import ConsumerSettings, Settings
from consumerd.errors import ConsumerdError
from consumerd.events.log import log_to_stdout
from consumerd.model.failure import describe, one_line
from consumerd.parking.opening import check_parking, open_store_thread, resolve_parking
from consumerd.standard_streams import open_standard_descriptors
from consumerd.worker.code.loader import LoadedConsumer, load_consumer
from consumerd.worker.seat import Prepared
from consumerd.worker.tasks.handler import record_validator


@dataclass(frozen=True)
class Failure:
    """reason: one line for each mistake; traceback: what user code raised, where it did."""

    reason: str
    traceback: str


def load(consumer: ConsumerSettings, settings: Settings, state_dir: Path) -> Prepared | Failure:
    """Load the consumer's code and check its options and its parking store's, with the environment of this process."""
    try:
        return _prepare(load_consumer(consumer, os.environ), consumer, settings, state_dir)
    except ConsumerdError as error:
        failed, raised = str(error), error.__cause__
    except Exception as error:  # noqa: BLE001 - around user code: a validator, a property of the class
        failed, raised = f"looking at the class failed with {one_line(error)}", error
    redact = _redactor(consumer, settings).redact
    return Failure(redact(failed), "" if raised is None else describe(raised, redact).traceback)


def _prepare(loaded: LoadedConsumer, consumer: ConsumerSettings, settings: Settings, state_dir: Path) -> Prepared:
    open_standard_descriptors()  # the import may have closed them
    parking = resolve_parking(settings.parking, os.environ, consumer.directory)
    check_parking(parking.value, state_dir)
    with contextlib.suppress(Exception):  # what an annotation raises is the worker's to tell: it asks again
        record_validator(loaded.consumer_class)
    redactor = parking.redactor.joined(loaded.redactor.secrets)
    log = log_to_stdout(settings.log.format, settings.log.level, bound={"consumer": str(consumer.full_name)})
    return Prepared(loaded, redactor.redact, open_store_thread(parking.value, state_dir), log)


def _redactor(consumer: ConsumerSettings, settings: Settings) -> Redactor:
    """Of every secret that the consumer's code could have seen."""
    resolver = Resolver(os.environ, consumer.directory)
    values = (dict(consumer.configs), settings.parking)
    secrets = frozenset[str]().union(*(resolver.resolve(value).secrets for value in values))
    return Redactor(secrets | secrets_of_environment(consumer.common.environment, os.environ, consumer.directory))
