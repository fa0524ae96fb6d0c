"""What pydantic complains of, in our own words: what is wrong, the value, and the likely fix."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import ErrorDetails

from consumerd.config.problems import Path, shown
from consumerd.config.suggest import did_you_mean

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "dict": "a table",
    "model": "a table",
    "dataclass": "a table",
    "none_required": "null",
    "decimal": "a number",
}

_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "string_too_short": ("min_length", "text of a length of at least"),
    "string_too_long": ("max_length", "text of a length of at most"),
    "too_short": ("min_length", "a list of a length of at least"),
    "too_long": ("max_length", "a list of a length of at most"),
}

_SUFFIXES = ("_type", "_parsing", "_from_float", "_attributes_type", "_exact_type")


def sentence_for(complaints: Sequence[ErrorDetails], known_keys: Sequence[str], path: Path) -> str:
    """One sentence for what pydantic says of one place; several complaints are the branches of a union."""
    first = complaints[0]
    match first["type"]:
        case "missing":
            return "is missing: add it"
        case "extra_forbidden":
            key = str(path[-1])
            return f"is not a known key{did_you_mean(key, known_keys) or f'; known are: {_listed(known_keys)}'}"
        case "value_error" | "assertion_error":
            return str(first.get("ctx", {}).get("error", first["msg"]))
    wanted = tuple(dict.fromkeys(_wanted(complaint) for complaint in complaints))
    value = first["input"]
    if any(kind is None for kind in wanted):
        return f"{first['msg'][:1].lower()}{first['msg'][1:]}, and is {shown(value, path)}"
    return f"must be {' or '.join(map(str, wanted))}, and is {shown(value, path)}{_fix(first, value)}"


def _wanted(complaint: ErrorDetails) -> str | None:
    """What should have stood there; None where we have no words of our own for it."""
    kind = complaint["type"]
    context = complaint.get("ctx", {})
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{words} {context[key]:g}"
    if kind in ("literal_error", "enum"):
        return f"{context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"text of the form {context['pattern']}"
    for suffix in _SUFFIXES:
        if kind.endswith(suffix) and kind.removesuffix(suffix) in _KINDS:
            return _KINDS[kind.removesuffix(suffix)]
    return _KINDS.get(kind)


def _fix(complaint: ErrorDetails, value: object) -> str:
    kind = complaint["type"]
    if kind.startswith(("int_", "float_")) and isinstance(value, str):
        return ": write it without quotes" if _is_number(value) else ""
    if kind.startswith("bool_") and isinstance(value, str) and value.casefold() in ("true", "false"):
        return ": write it without quotes"
    if kind == "string_type" and isinstance(value, int | float):
        return ": write it in quotes"
    if kind == "literal_error" and isinstance(value, str):
        expected = str(complaint.get("ctx", {}).get("expected", ""))
        return did_you_mean(value, [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")])
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys)
