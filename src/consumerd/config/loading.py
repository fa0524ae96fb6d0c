"""From CONFIG, as it is named on the command line, to a valid Document, or to every mistake in it at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from consumerd.config.documents import read_document
from consumerd.config.entries import NAME_RULE, Table, order_problems, read_group
from consumerd.config.plain import Written
from consumerd.config.problems import Problem, in_document_order, nearest, raise_problems, shown
from consumerd.config.secrets import Resolver
from consumerd.config.settings import read_settings
from consumerd.config.shape import RESERVED, ConsumerSettings, Document
from consumerd.config.tables import Place
from consumerd.model.identity import is_name


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
    place, data = Place(written.origin), written.data
    if not isinstance(data, dict):
        wrong = place.problem(f"must be a table {{group: [consumers]}}, and is {shown(data)}")
        return Validated(None, (*written.problems, wrong))
    resolver = Resolver(environ, Path(written.directory))
    settings, problems = read_settings(data.get(RESERVED, {}), place.within(RESERVED), resolver)
    consumers, wrong_groups = _read_groups(data, place, resolver)
    document = Document(
        origin=written.origin,
        directory=resolver.directory,
        settings=settings,
        consumers=tuple(consumers),
    )
    not_plain = {problem.path for problem in written.problems}  # nothing more is said of what stands there
    meant = [problem for problem in (*problems, *wrong_groups) if problem.path not in not_plain]
    return Validated(document, tuple(in_document_order([*written.problems, *meant], data)), data)


def _read_groups(data: Table, place: Place, resolver: Resolver) -> tuple[list[ConsumerSettings], list[Problem]]:
    """The consumers of all groups, as far as their class is known, and all that is wrong with the groups."""
    consumers: list[ConsumerSettings] = []
    problems: list[Problem] = []
    defaults = _defaults(data)
    groups = {key: value for key, value in data.items() if key != RESERVED}
    for group, value in groups.items():
        problems += _name_problems(group, value, place)
        if isinstance(value, list):
            found, wrong = read_group(group, value, place.within(group), resolver, defaults=defaults)
            consumers += found
            problems += wrong
    if not groups:
        problems.append(place.problem("holds no group: add one, {group: [{module, class, configs}]}"))
    return consumers, [*problems, *order_problems(consumers)]


def _defaults(data: Table) -> Table:
    """`consumerd.defaults`; what is wrong with the table is said by who reads the settings."""
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
