"""What holds for all of the source: how large things may be, and where events have their names.

There are no exceptions: what has grown too large is two things.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from consumerd.events import DECLARED
from consumerd.events.facts import Fact

SOURCES = Path(__file__).parents[2] / "src" / "consumerd"

MOST_FILES = 20
MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 40

FLAGS_OF_AN_EVENTS_NAME = {"starved"}
"""What `status` calls a thing that is away, and an event is called as well."""


def relative(path: Path) -> str:
    return path.relative_to(SOURCES).as_posix()


def too_large(sizes: dict[str, int], most: int) -> dict[str, int]:
    return {name: size for name, size in sizes.items() if size > most}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in SOURCES.rglob("*.py"):
        yield relative(path), ast.parse(path.read_text(encoding="utf-8"))


def test_a_folder_has_at_most_twenty_files() -> None:
    folders = {path.parent for path in SOURCES.rglob("*.py")}
    sizes = {relative(folder): len(list(folder.glob("*.py"))) for folder in folders}
    assert too_large(sizes, MOST_FILES) == {}


def test_a_file_has_at_most_three_hundred_lines() -> None:
    sizes = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES.rglob("*.py")}
    assert too_large(sizes, MOST_LINES) == {}


def test_a_function_has_at_most_forty_lines() -> None:
    sizes = {
        f"{name}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert too_large(sizes, MOST_LINES_OF_A_FUNCTION) == {}


def test_the_name_of_an_event_is_written_in_its_declaration_and_nowhere_else() -> None:
    names = {event.name for event in DECLARED} - FLAGS_OF_AN_EVENTS_NAME
    written = {
        f"{name}:{node.lineno} {node.value}"
        for name, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and node.value in names and not name.startswith("events/")
    }
    assert written == set()


def test_a_fact_is_made_by_its_event() -> None:
    made = {
        f"{name}:{node.lineno}"
        for name, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == Fact.__name__
    }
    reported = {"master/kept_child.py", "master/pools/worker_messages.py"}
    assert {place.partition(":")[0] for place in made} == {"events/facts.py", *reported}


def test_every_event_is_emitted_somewhere() -> None:
    used = {
        node.attr
        for _, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "events"
    }
    assert {event.own_name for event in DECLARED} - used == set()
