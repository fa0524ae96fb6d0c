"""Reading the reserved table `consumerd`: what belongs to no consumer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from consumerd.config.problems import Problem, shown
from consumerd.config.reading import read_entry_keys
from consumerd.config.redaction import Redactor
from consumerd.config.secrets import Resolver, has_reference
from consumerd.config.shape import EMBEDDED, Document, Settings
from consumerd.config.tables import Place, read_table
from consumerd.model.identity import is_unicode

PARKING_RULE = f"'{EMBEDDED}' or a database URL, such as postgresql://user:${{PASSWORD}}@host/database"

_USED_ELSEWHERE = ("parking", "defaults", "on_event")
"""Keys that travel as they are written: their references are resolved where their values are used."""

_AS_WRITTEN = ("defaults", "on_event")
"""Keys whose references are not looked at here; those of a command are none: everybody can see its arguments."""


def read_settings(value: object, place: Place, resolver: Resolver) -> tuple[Settings, list[Problem]]:
    """The table, or default settings and its problems."""
    if not isinstance(value, dict):
        return Settings(), [place.problem(f"must be a table, and is {shown(value)}")]
    resolved = resolver.resolve({key: item for key, item in value.items() if key not in _AS_WRITTEN})
    failures = [place.problem(sentence, *steps) for steps, sentence in resolved.failures]
    taken = {key: value[key] if key in _USED_ELSEWHERE else resolved.value[key] for key in value}
    settings, problems = read_table(Settings, taken, place, resolved=[str(steps[0]) for steps in resolved.places])
    found = [*problems, *_problems_of_meaning(value, settings, place, resolver)]
    unresolved = {problem.path for problem in failures}
    redact = Redactor(resolved.secrets).redact
    meant = [problem.redacted(redact) for problem in found if problem.path not in unresolved]
    return settings or Settings(), [*failures, *meant]


def _problems_of_meaning(
    value: dict[str, Any],  # plain data, not checked yet
    settings: Settings | None,
    place: Place,
    resolver: Resolver,
) -> Iterator[Problem]:
    """What the types of the keys leave open."""
    parking, defaults = value.get("parking"), value.get("defaults")
    if isinstance(parking, str) and not is_parking(parking):
        yield place.problem(f"must be {PARKING_RULE}, and is {shown(parking)}", "parking")
    if isinstance(defaults, dict):  # said once, here, and not again for each consumer
        yield from read_entry_keys(defaults, place.within("defaults"), resolver)[1]
    if settings is not None and settings.on_event:
        program = settings.on_event[0]
        if shutil.which(program, path=resolver.environ.get("PATH")) is None:
            yield place.problem(f"there is no program {shown(program)} to be executed: check its path", "on_event")


def is_parking(text: str) -> bool:
    """Whether a text names a parking store: the embedded one, a database, or a reference that is resolved later."""
    return text == EMBEDDED or (is_unicode(text) and ("://" in text or has_reference(text)))


def unreachable_store_problems(document: Document, uid: int) -> Iterator[Problem]:
    """A consumer that runs as another user than the master cannot reach the embedded store: its directory is private.

    uid: the master's.
    """
    if document.settings.parking not in (None, EMBEDDED):
        return
    for consumer in document.consumers:
        if consumer.execution.is_of_another_user(uid):
            sentence = (
                "runs its processes as another user, who cannot reach the embedded parking store of the master: set "
                "consumerd.parking to a database's URL"
            )
            yield consumer.place.problem(sentence, "configs", "user")
