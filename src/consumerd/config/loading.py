"""From CONFIG, as it is named on the command line, to a valid Document, or to every mistake in it at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consumerd.config.documents import read_document
from consumerd.config.entries import NAME_RULE, order_problems, read_group
from consumerd.config.plain import Written
from consumerd.config.problems import Problem, in_document_order, nearest, raise_problems, shown
from consumerd.config.secrets import Resolver
from consumerd.config.settings import read_settings
from consumerd.config.shape import RESERVED, ConsumerSettings, Document, Settings
from consumerd.config.tables import Place
from consumerd.model.identity import is_name


@dataclass(frozen=True, slots=True)
class Validated:
    """What a document says, as far as it can be understood, and all that is wrong with it.

    document: None where nothing could be read. With problems it holds every consumer whose class is known, so that
    `check` can look at those too; nobody else may use it then.
    data: the document's plain data, by which its problems are ordered.
    """

    document: Document | None
    problems: tuple[Problem, ...]
    data: object = None


@dataclass(slots=True)
class _Reading:
    """What has been gathered so far."""

    settings: Settings = field(default_factory=Settings)
    consumers: list[ConsumerSettings] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def load(config: str, environ: Mapping[str, str] | None = None) -> Document:
    """The configuration, valid, or ConfigurationError with one line for each mistake.

    The common keys are resolved; `configs` stays as written.
    """
    validated = examine(config, environ)
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
    place = Place(written.origin)
    if not isinstance(written.data, dict):
        wrong = place.problem(f"must be a table {{group: [consumers]}}, and is {shown(written.data)}")
        return Validated(None, (*written.problems, wrong))
    reading = _read(written.data, place, Resolver(environ, Path(written.directory)))
    document = Document(
        origin=written.origin,
        directory=Path(written.directory),
        settings=reading.settings,
        consumers=tuple(reading.consumers),
    )
    return Validated(document, tuple(_all_problems(written, reading)), written.data)


def _all_problems(written: Written, reading: _Reading) -> list[Problem]:
    """Those of reading and of meaning; where something was not plain data, nothing more is said of it."""
    not_plain = {problem.path for problem in written.problems}
    meant = [problem for problem in reading.problems if problem.path not in not_plain]
    return in_document_order([*written.problems, *meant], written.data)


def _read(data: dict[str, Any], place: Place, resolver: Resolver) -> _Reading:  # plain data, not checked yet
    reading = _Reading()
    defaults = _defaults(data)
    for key, value in data.items():
        if key == RESERVED:
            reading.settings, wrong = read_settings(value, place.within(key), resolver)
            reading.problems.extend(wrong)
            continue
        reading.problems.extend(_name_problems(key, value, place))
        if isinstance(value, list):
            consumers, problems = read_group(key, value, place.within(key), resolver, defaults=defaults)
            reading.consumers.extend(consumers)
            reading.problems.extend(problems)
    reading.problems.extend(order_problems(reading.consumers))
    if not any(key != RESERVED for key in data):
        reading.problems.append(place.problem("holds no group: add one, {group: [{module, class, configs}]}"))
    return reading


def _defaults(data: dict[str, Any]) -> dict[str, Any]:  # plain data, not checked yet
    """`consumerd.defaults`, wherever in the document it stands; what is wrong with it is reported where it stands."""
    table = data.get(RESERVED)
    defaults = table.get("defaults") if isinstance(table, dict) else None
    return defaults if isinstance(defaults, dict) else {}


def _name_problems(group: str, value: object, place: Place) -> Iterator[Problem]:
    if not is_name(group):
        yield place.problem(f"is no name for a group: {NAME_RULE}", group)
    if isinstance(value, list):
        return
    if isinstance(value, dict) and nearest(group, [RESERVED]) is not None:
        yield place.problem(f"is not a group, which is a list of tables; did you mean '{RESERVED}'?", group)
    elif isinstance(value, dict):
        yield place.problem(f"must be a list of tables, and is one table: write [{{…}}], in TOML [[{group}]]", group)
    else:
        yield place.problem(f"must be a list of tables, and is {shown(value)}", group)
