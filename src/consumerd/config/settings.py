"""Reading the reserved table `consumerd`: what belongs to no consumer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from consumerd.config.entries import read_entry_keys
from consumerd.config.problems import Problem, shown
from consumerd.config.secrets import Resolver, has_reference
from consumerd.config.shape import EMBEDDED, Document, Settings
from consumerd.config.tables import Place, read_resolved
from consumerd.model.identity import is_unicode

PARKING_RULE = f"'{EMBEDDED}' or a database URL, such as postgresql://user:${{PASSWORD}}@host/database"

_AS_WRITTEN = ("defaults", "on_event")
"""Keys whose references are not looked at here; those of a command are none: everybody can see its arguments."""


def read_settings(value: object, place: Place, resolver: Resolver) -> tuple[Settings, list[Problem]]:
    """The table, or default settings and its problems. `parking` travels as it is written."""
    if not isinstance(value, dict):
        return Settings(), [place.problem(f"must be a table, and is {shown(value)}")]
    found, problems = read_resolved(Settings, resolver.resolve(value, but=_AS_WRITTEN), place)
    problems += _problems_of_meaning(value, found, place, resolver)
    settings = Settings() if found is None else found.model_copy(update={"parking": value.get("parking")})
    return settings, problems


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
