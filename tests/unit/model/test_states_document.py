"""The state diagrams in the documents are those of the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from consumerd.model.slots import POOL_MOVES, SLOT_MOVES, ZYGOTE_MOVES

PAGE = Path(__file__).parents[3] / "docs" / "operating.md"


def diagram(moves: Mapping[str, frozenset[str]]) -> str:
    """A table of moves as a Mermaid state diagram."""
    arrows = [f"    {state} --> {after}" for state, following in moves.items() for after in sorted(following)]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {next(iter(moves))}", *arrows])


@pytest.mark.parametrize("moves", [SLOT_MOVES, POOL_MOVES, ZYGOTE_MOVES], ids=["slot", "pool", "zygote"])
def test_the_diagram_in_the_documents_is_that_of_the_table(moves: Mapping[str, frozenset[str]]) -> None:
    assert diagram(moves) in PAGE.read_text(), f"draw it anew:\n{diagram(moves)}"
