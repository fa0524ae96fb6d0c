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
from consumerd.wire.messages import Seated
from consumerd.worker.code.loader import LoadedConsumer, load_consumer
from consumerd.worker.tasks.handler import record_validator
from consumerd.worker.template import Template


@dataclass(frozen=True)
class Failure:
    """reason: one line for each mistake; traceback: what user code raised, where it did."""

    reason: str
    traceback: str


def load(seated: Seated) -> Template | Failure:
    """Load the consumer's code and check its options and its parking store's, with the environment of this process."""
    entry, settings = entry_of(seated), Settings.model_validate_json(seated.settings)
    try:
        return _template(seated, entry, settings, load_consumer(entry, os.environ))
    except ConsumerdError as error:
        failed, raised = str(error), error.__cause__
    except Exception as error:  # noqa: BLE001 - around user code: a validator, a property of the class
        failed, raised = f"looking at the class failed with {one_line(error)}", error
    redact = _redactor(entry, settings).redact
    return Failure(redact(failed), "" if raised is None else describe(raised, redact).traceback)


def entry_of(seated: Seated) -> ConsumerSettings:
    """The consumer's entry, `configs` not resolved."""
    return ConsumerSettings.model_validate_json(seated.consumer)


def _template(seated: Seated, entry: ConsumerSettings, settings: Settings, loaded: LoadedConsumer) -> Template:
    open_standard_descriptors()  # the import may have closed them
    state_dir = Path(seated.state_dir)
    parking = resolve_parking(settings.parking, os.environ, entry.directory)
    check_parking(parking.value, state_dir)
    with contextlib.suppress(Exception):  # what an annotation raises is the worker's to tell: it asks again
        record_validator(loaded.consumer_class)
    redactor = parking.redactor.joined(loaded.redactor.secrets)
    log = log_to_stdout(settings.log.format, settings.log.level, bound={"consumer": str(entry.full_name)})
    store = open_store_thread(parking.value, state_dir)
    return Template(seated, entry, settings, loaded, redactor.redact, store, log)


def _redactor(consumer: ConsumerSettings, settings: Settings) -> Redactor:
    """Of every secret that the consumer's code could have seen."""
    resolver = Resolver(os.environ, consumer.directory)
    values = (dict(consumer.configs), settings.parking)
    secrets = frozenset[str]().union(*(resolver.resolve(value).secrets for value in values))
    return Redactor(secrets | secrets_of_environment(consumer.common.environment, os.environ, consumer.directory))
