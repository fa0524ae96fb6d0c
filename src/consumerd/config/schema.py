"""The published JSON Schema of a configuration, made from the shape. `consumerd check --schema` prints it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from consumerd.config.common_keys import CommonKeys
from consumerd.config.keys.concurrency import Concurrency
from consumerd.config.keys.worker_range import WorkerRange
from consumerd.config.shape import RESERVED, Entry, Settings
from consumerd.config.tables import keys_of, numeric_keys
from consumerd.model.identity import NAME_PATTERN

Schema = dict[str, Any]  # a JSON Schema is a free tree

REFERENCE: Schema = {
    "type": "string",
    "pattern": r"^file:|\$\{[A-Za-z_][A-Za-z0-9_]*\}",
    "description": "A reference: ${NAME} for an environment variable, file:PATH for a file.",
}


def json_schema() -> Schema:
    """The schema of a whole document. A source's own keys, and the user's, are not in it: `configs` is open."""
    configs = _of(CommonKeys)
    configs["additionalProperties"] = True
    entry = _of(Entry)
    entry["properties"]["configs"] = _open(entry["properties"]["configs"])
    settings = _of(Settings)
    settings["properties"]["defaults"] = _open(settings["properties"]["defaults"])
    nested = {
        **settings.pop("$defs", {}),
        **configs.pop("$defs", {}),
        **{each.__name__: _of(each) for each in (WorkerRange, Concurrency)},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A configuration of consumerd",
        "type": "object",
        "properties": {RESERVED: settings},
        "propertyNames": {"pattern": f"^{NAME_PATTERN.pattern}$"},
        "additionalProperties": {"type": "array", "items": {"$ref": "#/$defs/consumer"}},
        "$defs": {"consumer": entry, "configs": configs, "reference": REFERENCE, **nested},
    }


def _open(described: Schema) -> Schema:
    """A table of the common keys and any others."""
    return {"$ref": "#/$defs/configs", "description": described["description"]}


def _of(model: type[BaseModel]) -> Schema:
    """A model's schema, in which a number, or one of a few words, may also be written as a reference."""
    schema = model.model_json_schema(by_alias=True)
    for key in keys_of(model):
        if key not in numeric_keys(model) and "enum" not in schema["properties"][key]:
            continue
        described = schema["properties"][key]
        outer = {name: described.pop(name) for name in ("description", "default") if name in described}
        schema["properties"][key] = {"anyOf": [described, {"$ref": "#/$defs/reference"}], **outer}
    return schema
