"""Writes the JSON Schema of the control protocol from its methods; `make docs` runs it.

A message is one line; which results a method has that is not described here is said by `consumerd VERB --json`, which
prints them as they came.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from consumerd.cli.verbs import methods
from consumerd.wire.control import (
    FAILED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LINE_LIMIT_BYTES,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
)
from consumerd.wire.method import Method

Schema = dict[str, Any]  # a JSON Schema is a free tree

SCHEMA = Path(__file__).with_name("control.schema.json")

_CODES = (PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, FAILED)


def control_schema() -> Schema:
    """Of every message, by direction: a client sends requests, the master all else."""
    known = methods()
    answered = {name: method.result for name, method in known.items() if method.result is not None}
    results, described = msgspec.json.schema_components(answered.values(), ref_template="#/$defs/{name}")
    requests = {f"request.{name}": _request(method) for name, method in known.items()}
    answers = {f"result.{name}": result for name, result in zip(answered, results, strict=True)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The control protocol of consumerd: JSON-RPC 2.0, one message a line",
        "description": f"A request has at most {LINE_LIMIT_BYTES} bytes; bytes in a value are {{'$bytes': BASE64}}.",
        "oneOf": [_ref("request"), _ref("response"), _ref("failure"), _ref("item")],
        "$defs": {
            "id": {"type": ["integer", "string"]},
            "request": {"oneOf": [_ref(name) for name in requests]},
            **requests,
            "response": _message(
                {"id": _ref("id"), "result": {"anyOf": [*map(_ref, answers), {}]}}, "What a method has answered."
            ),
            **answers,
            **{name: _unindented(each) for name, each in described.items()},
            "failure": _failure(),
            "item": _item(),
        },
    }


def _unindented(described: Schema) -> Schema:
    """With its description as it reads: not every version of msgspec takes a docstring's indentation away."""
    return described | {key: inspect.cleandoc(text) for key, text in described.items() if key == "description"}


def _request(method: type[Method]) -> Schema:
    params = msgspec.json.schema(method)["$defs"][method.__name__]
    description = params.pop("description", "")
    members = {"id": _ref("id"), "method": {"const": method.name}, "params": params}
    message = _message(members, " ".join(f"{description} {_answered(method)}".split()))
    message["properties"]["via"] = {"type": "string", "description": "In whose name it is asked."}
    message["required"] = ["id", "method", *(["params"] if params["required"] else [])]
    return message


def _answered(method: type[Method]) -> str:
    is_act = "Kept in the audit log. " if method.is_act else ""
    return is_act + ("Answered by items." if method.is_stream else "Answered once.")


def _failure() -> Schema:
    error = {
        "type": "object",
        "properties": {"code": {"enum": list(_CODES)}, "message": {"type": "string"}},
        "required": ["code", "message"],
    }
    members = {"id": {"type": ["integer", "string", "null"]}, "error": error}
    return _message(members, "Why a request was not answered, in one sentence.")


def _item() -> Schema:
    params = {"type": "object", "properties": {"id": _ref("id"), "item": {}}, "required": ["id", "item"]}
    return _message({"method": {"const": "item"}, "params": params}, "One item of a stream.")


def _message(members: Schema, description: str) -> Schema:
    properties = {"jsonrpc": {"const": "2.0"}, **members}
    return {"description": description, "type": "object", "properties": properties, "required": list(properties)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(control_schema(), indent=2) + "\n", encoding="utf-8")
