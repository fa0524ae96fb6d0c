"""The published schema of the control protocol is what the master takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from consumerd.wire.control import METHODS
from consumerd.wire.control_schema import control_schema

PUBLISHED = Path(__file__).parents[3] / "docs" / "control.schema.json"
TYPES = {"string": str, "integer": int, "boolean": bool}
VALUES: tuple[object, ...] = ("text", 3, True, None, [], {})


def test_the_published_schema_is_current() -> None:
    written = "write it anew: python -m consumerd.wire.control_schema > docs/control.schema.json"
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == control_schema(), written


def test_every_reference_in_it_leads_somewhere() -> None:
    schema = control_schema()
    names = {reference.removeprefix("#/$defs/") for reference in references(schema)}
    assert names == schema["$defs"].keys()


def references(node: object) -> list[str]:
    if isinstance(node, list):
        return [found for inner in node for found in references(inner)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if "$ref" in node else []
    return own + [found for inner in node.values() for found in references(inner)]


def allows(schema: Mapping[str, Any], params: Mapping[str, object]) -> bool:
    """Whether a schema of parameters, which has no more than these keywords, allows some."""
    assert schema.keys() == {"type", "properties", "required", "additionalProperties"}
    known = schema["properties"]
    are_known = all(name in known for name in params) or schema["additionalProperties"]
    fit = all(type(value) is TYPES[known[name]["type"]] for name, value in params.items() if name in known)
    return are_known and fit and all(name in params for name in schema["required"])


@pytest.mark.parametrize("name", METHODS)
def test_it_allows_the_parameters_that_the_master_takes_and_no_others(name: str) -> None:
    schema = control_schema()["$defs"][f"request.{name}"]["properties"]["params"]
    names = [*schema["properties"], "unknown"]
    tried: list[dict[str, object]] = [{}, *({name: value} for name in names for value in VALUES)]
    tried += [{first: one, second: two} for first in names for second in names for one in VALUES for two in VALUES]
    for params in tried:
        assert allows(schema, params) == (METHODS[name].complaint(params) is None), params
