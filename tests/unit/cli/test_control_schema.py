"""The published schema of the control protocol is what the master takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from docs.control_schema import SCHEMA, control_schema

from consumerd.cli.verbs import methods
from consumerd.wire.method import Method

TYPES = {"string": (str,), "integer": (int,), "boolean": (bool,), "number": (int, float), "null": (type(None),)}
VALUES: tuple[object, ...] = ("text", 3, True, None, [], {})


def test_the_published_schema_is_current() -> None:
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert published == json.loads(json.dumps(control_schema())), "write it anew: make docs"


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


def allowed(schema: Mapping[str, Any], value: object) -> bool:
    """Whether a schema, which has no more than these keywords, allows a value."""
    if "anyOf" in schema:
        return any(allowed(each, value) for each in schema["anyOf"])
    if schema["type"] == "array":
        return isinstance(value, list) and all(allowed(schema["items"], each) for each in value)
    return type(value) in TYPES[schema["type"]]


def allows(schema: Mapping[str, Any], params: Mapping[str, object]) -> bool:
    """Whether a schema of parameters allows some."""
    assert schema.keys() == {"title", "type", "properties", "required", "additionalProperties"}
    assert not schema["additionalProperties"]
    known = schema["properties"]
    fit = all(name in known and allowed(known[name], value) for name, value in params.items())
    return fit and all(name in params for name in schema["required"])


def takes(method: type[Method], params: Mapping[str, object]) -> bool:
    try:
        return isinstance(msgspec.convert(params, method), method)
    except msgspec.ValidationError:
        return False


@pytest.mark.parametrize("name", methods())
def test_it_allows_the_parameters_that_the_master_takes_and_no_others(name: str) -> None:
    schema = control_schema()["$defs"][f"request.{name}"]["properties"]["params"]
    names = [*schema["properties"], "unknown"]
    tried: list[dict[str, object]] = [{}, *({name: value} for name in names for value in VALUES)]
    tried += [{first: one, second: two} for first in names for second in names for one in VALUES for two in VALUES]
    for params in tried:
        assert allows(schema, params) == takes(methods()[name], params), params
