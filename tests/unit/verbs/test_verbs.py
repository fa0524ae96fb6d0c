"""Every verb that a master answers has both its ends in its file, and its place in the manual."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from consumerd.cli.verb import Verb
from consumerd.cli.verbs import MASTERS, VERBS, methods
from consumerd.wire.method import Method

MANUALS = Path(__file__).parents[3] / "docs"
OF_MASTERS = [name for name, verb in VERBS.items() if verb.module.startswith(MASTERS)]


def command(name: str) -> click.Command:
    found = getattr(importlib.import_module(VERBS[name].module), VERBS[name].attribute)
    assert isinstance(found, click.Command)
    return found


@pytest.mark.parametrize("name", OF_MASTERS)
def test_a_verb_has_both_ends_in_its_file(name: str) -> None:
    folder = VERBS[name].module.removesuffix(".command")
    assert command(name).help
    assert [kind for kind in methods().values() if kind.__module__.startswith(folder)]


@pytest.mark.parametrize("kind", methods().values(), ids=methods())
def test_a_method_says_what_the_master_does_for_it(kind: type[Method]) -> None:
    assert inspect.getdoc(kind)
    assert kind.answer is not Method.answer or kind.items is not Method.items


@pytest.mark.parametrize("kind", [kind for kind in methods().values() if issubclass(kind, Verb)])
def test_the_command_of_a_verb_takes_what_its_method_takes(kind: type[Verb]) -> None:
    more = {"state_dir", "as_json"} | ({"is_waiting"} if kind.awaited is not Verb.awaited else set())
    assert {parameter.name for parameter in command(kind.name).params} == {*kind.__struct_fields__, *more}
    assert kind.lines is not Verb.lines
    assert kind.result is not None


def leaves(name: str, found: click.Command) -> Iterator[str]:
    if isinstance(found, click.Group):
        for inner in found.commands:
            yield f"{name} {inner}"
    else:
        yield name


@pytest.mark.parametrize("name", [leaf for name in OF_MASTERS for leaf in leaves(name, command(name))])
def test_a_verb_has_its_place_in_the_manual(name: str) -> None:
    manual = (MANUALS / ("parking.md" if name.startswith("parked ") else "operating.md")).read_text(encoding="utf-8")
    assert f"consumerd {name}" in manual
