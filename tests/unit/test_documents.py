"""The documents say what is true of the tree: links, folders, verbs, decisions, version, examples."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from consumerd.cli.verbs import VERBS
from consumerd.version import __version__

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "consumerd"
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])

LONGEST_LINE = 105
FEWEST_CALLS = 8

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CALL = re.compile(r"^\| `([\w/]+\.py)` `([\w.]+)` \|", re.MULTILINE)
_PLACE = re.compile(r"`([\w/]+(?:/|\.py))`")


def prose(document: Path) -> str:
    """A document without its blocks of code."""
    return _FENCED.sub("", document.read_text())


def blocks(document: Path, language: str) -> list[str]:
    return [block for found, block in _FENCED.findall(document.read_text()) if found == language]


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as code hosts make them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(document)))
    return {heading.replace(" ", "-") for heading in plain}


def leads_somewhere(link: str, document: Path, root: Path) -> bool:
    """Whether a relative link ends at something within `root`, and at a heading of it where it names one."""
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    return target.exists() and target.is_relative_to(root) and (not anchor or anchor in anchors(target))


def broken_links(document: Path, root: Path = ROOT) -> list[str]:
    links = [link for link in _LINK.findall(prose(document)) if not link.startswith(("https://", "http://"))]
    return [link for link in links if not leads_somewhere(link, document, root)]


def folders() -> set[str]:
    """The package's folders, relative to it."""
    packages = (found.parent for found in PACKAGE.rglob("__init__.py"))
    return {f"{package.relative_to(PACKAGE)}/" for package in packages if package != PACKAGE}


def definitions(module: Path) -> set[str]:
    """A module's functions, `name`, and the methods of its classes, `Class.name`."""
    found: set[str] = set()
    for node in ast.parse(module.read_text()).body:
        match node:
            case ast.FunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name, body=body):
                found |= {f"{name}.{inner.name}" for inner in body if isinstance(inner, ast.FunctionDef)}
    return found


def table_places(document: Path) -> set[str]:
    """What stands in the first column of a document's tables."""
    rows = [line for line in prose(document).splitlines() if line.startswith("| `")]
    return {place for row in rows for place in _PLACE.findall(row.split("|")[1])}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    links = ["missing.md", "#no-such-heading", "#a-heading", "https://example.org/any", "../outside.md"]
    (tmp_path.parent / "outside.md").touch()
    document.write_text(f"{' '.join(f'[text]({link})' for link in links)}\n\n# A heading\n")
    assert broken_links(document, tmp_path) == ["missing.md", "#no-such-heading", "../outside.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_prose_is_wrapped_at_about_100_characters(document: Path) -> None:
    lines = [line for line in prose(document).splitlines() if not line.startswith(("|", "#"))]
    assert [line for line in lines if len(line) > LONGEST_LINE and " " in line[4:]] == []


def test_the_architecture_names_every_folder_and_no_other() -> None:
    named = table_places(ROOT / "ARCHITECTURE.md")
    assert {place for place in named if place.endswith("/")} == folders()


def test_the_architecture_names_every_module_beside_the_folders() -> None:
    modules = {found.name for found in PACKAGE.glob("*.py")} - {"__main__.py", "version.py"}
    assert {
        place for place in table_places(ROOT / "ARCHITECTURE.md") if place.endswith(".py") and "/" not in place
    } == modules


@pytest.mark.parametrize(
    "name", ["ARCHITECTURE.md", "CONTRIBUTING.md", *(f"docs/adr/{found.name}" for found in DECISIONS)]
)
def test_every_module_that_a_document_names_exists(name: str) -> None:
    named = {place for place in _PLACE.findall(prose(ROOT / name)) if "/" in place and place.endswith(".py")}
    assert {place for place in named if not (PACKAGE / place).exists() and not (ROOT / place).exists()} == set()


def test_every_call_on_the_way_of_a_task_exists() -> None:
    calls = _CALL.findall((ROOT / "ARCHITECTURE.md").read_text())
    assert len(calls) >= FEWEST_CALLS
    assert [call for call in calls if call[1] not in definitions(PACKAGE / call[0])] == []


@pytest.mark.parametrize("verb", VERBS)
def test_the_readme_shows_every_verb(verb: str) -> None:
    assert f"consumerd {verb}" in (ROOT / "README.md").read_text()


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    listed = [link for link in _LINK.findall(index) if link.startswith("adr/")]
    assert listed == [f"adr/{decision.name}" for decision in DECISIONS]


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: decision.name)
def test_a_decision_has_its_number_its_four_parts_and_fits_on_a_page(decision: Path) -> None:
    text = decision.read_text()
    number = int(decision.name.split("-")[0])
    assert sum(other.name.startswith(f"{number:04}-") for other in DECISIONS) == 1
    assert text.startswith(f"# {number}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Rejected", "Consequences"]
    assert len(text) < 4000


def test_the_changelog_speaks_of_this_version() -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert __version__ in headings


def test_the_licence_is_the_one_that_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    text = (ROOT / "LICENSE").read_text()
    assert declared == "Apache-2.0"
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_example_can_be_read(document: Path) -> None:
    for block in blocks(document, "python"):
        ast.parse(block)
    for block in blocks(document, "toml"):
        tomllib.loads(block)


@pytest.mark.parametrize(
    "name", ["docs/writing-a-consumer.md", "docs/testing.md", "docs/batches.md", "docs/many-at-a-time.md"]
)
def test_the_examples_of_a_page_run(name: str) -> None:
    examples = blocks(ROOT / name, "python")
    assert examples
    for example in examples:
        names: dict[str, object] = {}
        exec(compile(example, name, "exec"), names)
        tests = [found for called, found in names.items() if called.startswith("test_") and callable(found)]
        assert tests, f"an example of {name} tests nothing"
        for test in tests:
            test()
