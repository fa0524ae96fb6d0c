"""From CONFIG, as it is named on the command line, to a valid Document, or to every mistake in it at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from consumerd.config.dashboard import token_problems, tokens_as_written
from consumerd.config.documents import read_document
from consumerd.config.entries import NAME_RULE, Table, order_problems, read_entry_keys, read_group
from consumerd.config.plain import Written
from consumerd.config.problems import Problem, did_you_mean, in_document_order, nearest, raise_problems, shown
from consumerd.config.secrets import Resolver, has_reference
from consumerd.config.shape import (
    EMBEDDED,
    RESERVED,
    ConsumerSettings,
    Document,
    LimitSettings,
    Settings,
)
from consumerd.config.tables import Place, read_resolved
from consumerd.errors import install_command
from consumerd.model.identity import is_name, is_unicode

PARKING_RULE = f"'{EMBEDDED}' or a database URL, such as postgresql://user:${{PASSWORD}}@host/database"

_WEB = ("jinja2", "prometheus_client", "starlette", "uvicorn")
"""What the process imports that answers HTTP."""

_AS_WRITTEN = ("defaults", "on_event")
"""Keys whose references are not looked at here; those of a command are none: everybody can see its arguments."""


@dataclass(frozen=True, slots=True)
class Validated:
    """What a document says, as far as it can be understood, and all that is wrong with it.

    document: None where nothing could be read. Where there are problems, it holds every consumer whose class is known,
    so that `check` can look at those too; nobody else may use it then.
    problems: all that is wrong, in the order of the document.
    data: the document's plain data, by which its problems are ordered.
    """

    document: Document | None
    problems: tuple[Problem, ...]
    data: object = None


def load(config: str, environ: Mapping[str, str] | None = None, *, serves: bool = True) -> Document:
    """The configuration, valid, or ConfigurationError with one line for each mistake.

    The common keys are resolved; `configs` stays as written. serves: whether HTTP may be answered by it; else its
    `[consumerd.dashboard]` is not looked at, whose tokens only the master needs.
    """
    written = read_document(config)
    if not serves and isinstance(written.data, dict) and isinstance(own := written.data.get(RESERVED), dict):
        own.pop("dashboard", None)
    validated = validate(written, os.environ if environ is None else environ)
    raise_problems(validated.problems)
    assert validated.document is not None, "a document without a problem was read"
    return validated.document


def examine(config: str, environ: Mapping[str, str] | None = None) -> Validated:
    """Read and check CONFIG, a file or `module:NAME`; raises nothing about it, for `check` wants all problems."""
    return validate(read_document(config), os.environ if environ is None else environ)


def validate(written: Written, environ: Mapping[str, str]) -> Validated:
    """Check a whole document. What stopped it from being read is among the problems."""
    if written.data is None and written.problems:
        return Validated(None, written.problems)
    place, data = Place(written.origin), written.data
    if not isinstance(data, dict):
        wrong = place.problem(f"must be a table {{group: [consumers]}}, and is {shown(data)}")
        return Validated(None, (*written.problems, wrong))
    resolver = Resolver(environ, Path(written.directory))
    settings = _read_settings(data.get(RESERVED, {}), place.within(RESERVED), resolver)
    document = Document(
        origin=written.origin,
        directory=resolver.directory,
        settings=settings,
        consumers=tuple(_limited(each, settings.limits, place) for each in _read_groups(data, place, resolver)),
    )
    not_plain = {problem.path for problem in written.problems}  # nothing more is said of what stands there
    meant = [problem for problem in place.found if problem.path not in not_plain]
    return Validated(document, tuple(in_document_order([*written.problems, *meant], data)), data)


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


def _read_settings(value: object, place: Place, resolver: Resolver) -> Settings:
    """The table, or default settings. `parking`, and the databases of limits, travel as they are written."""
    if not isinstance(value, dict):
        place.note(f"must be a table, and is {shown(value)}")
        return Settings()
    settings = read_resolved(Settings, resolver.resolve(value, but=_AS_WRITTEN), place) or Settings()
    parking, defaults = value.get("parking"), value.get("defaults")
    if isinstance(parking, str) and not is_parking(parking):
        place.note(f"must be {PARKING_RULE}, and is {shown(parking)}", "parking")
    for name in settings.limits:
        if not is_name(name):
            place.note(f"is no name for a limit: {NAME_RULE}", "limits", name)
    if isinstance(defaults, dict):
        read_entry_keys(defaults, place.within("defaults"), resolver)
    if settings.on_event and shutil.which(settings.on_event[0], path=resolver.environ.get("PATH")) is None:
        program = shown(settings.on_event[0])
        place.note(f"there is no program {program} to be executed: check its path", "on_event")
    if settings.dashboard is not None and not all(map(find_spec, _WEB)):
        place.note(f"needs what the extra `web` brings: {install_command('web')}", "dashboard")
    for key, sentence in token_problems(settings.dashboard, value.get("dashboard")):
        place.note(sentence, "dashboard", key)
    limits = {name: _with_database_as_written(limit, value["limits"][name]) for name, limit in settings.limits.items()}
    dashboard = settings.dashboard and settings.dashboard.model_copy(update=tokens_as_written(value["dashboard"]))
    return settings.model_copy(update={"parking": parking, "limits": limits, "dashboard": dashboard})


def _with_database_as_written(limit: LimitSettings, written: Table) -> LimitSettings:
    """Its references are resolved where it is opened."""
    if limit.numbers is None:
        return limit
    numbers = limit.numbers.model_copy(update={"database": written["numbers"]["database"]})
    return limit.model_copy(update={"numbers": numbers})


def _read_groups(data: Table, place: Place, resolver: Resolver) -> list[ConsumerSettings]:
    """The consumers of all groups, as far as their class is known."""
    consumers: list[ConsumerSettings] = []
    defaults = _defaults(data)
    groups = {key: value for key, value in data.items() if key != RESERVED}
    for group, value in groups.items():
        _look_at_group(group, value, place)
        if isinstance(value, list):
            consumers += read_group(group, value, place.within(group), resolver, defaults=defaults)
    if not groups:
        place.note("holds no group: add one, {group: [{module, class, configs}]}")
    place.found.extend(order_problems(consumers))
    return consumers


def _limited(consumer: ConsumerSettings, known: Mapping[str, LimitSettings], place: Place) -> ConsumerSettings:
    """With what it needs to know of the limits that it lists; a name that is no limit's is noted."""
    has_mistakes = any(problem.path[:1] == (RESERVED,) for problem in place.found)
    for index, name in enumerate(consumer.common.limits):
        if name not in known and not has_mistakes:
            advice = did_you_mean(name, known) or f": add a table [consumerd.limits.{name}]"
            sentence = f"{shown(name)} is no limit of this configuration{advice}"
            place.found.append(consumer.configs_place.problem(sentence, "limits", index))
    listed = {name: known[name].structure for name in consumer.common.limits if name in known}
    return consumer.model_copy(update={"limits": listed})


def _defaults(data: Table) -> Table:
    """`consumerd.defaults`; what is wrong with the table is said by who reads the settings."""
    table = data.get(RESERVED)
    defaults = table.get("defaults") if isinstance(table, dict) else None
    return defaults if isinstance(defaults, dict) else {}


def _look_at_group(group: str, value: object, place: Place) -> None:
    if not is_name(group):
        place.note(f"is no name for a group: {NAME_RULE}", group)
    if isinstance(value, dict) and nearest(group, [RESERVED]) is not None:
        place.note(f"is not a group, which is a list of tables; did you mean '{RESERVED}'?", group)
    elif isinstance(value, dict):
        place.note(f"must be a list of tables, and is one table: write [{{…}}], in TOML [[{group}]]", group)
    elif not isinstance(value, list):
        place.note(f"must be a list of tables, and is {shown(value)}", group)
