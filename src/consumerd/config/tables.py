"""A table of the document read into a pydantic model, every mistake of it as a Problem in our own words."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from consumerd.config.problems import KeyMistakesError, KeyPath, Problem, did_you_mean, shown
from consumerd.config.redaction import Redactor
from consumerd.config.secrets import Resolved

ModelT = TypeVar("ModelT", bound=BaseModel)

_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
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
    "literal_error": "{expected}",
    "enum": "{expected}",
    "string_pattern_mismatch": "text of the form {pattern}",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "string_too_short": "text of a length of at least {min_length:g}",
    "string_too_long": "text of a length of at most {max_length:g}",
    "too_short": "a list of a length of at least {min_length:g}",
    "too_long": "a list of a length of at most {max_length:g}",
}
"""What should have stood there, by pydantic's type of the complaint without its ending, and with its context."""

_OF_VALIDATORS = ("value_error", "assertion_error")
_ENDING = re.compile(r"_(type|parsing|from_float|attributes_type|exact_type)$")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table stands, and what was found to be wrong there.

    origin: its document.
    path: its path there.
    moved: the paths of those of its keys that are written elsewhere.
    found: what was noted, at this place and at all that are within it.
    """

    origin: str
    path: KeyPath = ()
    moved: Mapping[str, KeyPath] = field(default_factory=dict)
    found: list[Problem] = field(default_factory=list)

    def within(self, *steps: str | int) -> Place:
        """The place of something in this table."""
        first = self.moved.get(steps[0]) if steps and isinstance(steps[0], str) else None
        path = (*first, *steps[1:]) if first is not None else (*self.path, *steps)
        return replace(self, path=path, moved={})

    def problem(self, sentence: str, *steps: str | int, details: str = "") -> Problem:
        """A problem with this table, or with what `steps` lead to in it."""
        return Problem(self.origin, self.within(*steps).path, sentence, details)

    def note(self, sentence: str, *steps: str | int) -> None:
        """Note such a problem."""
        self.found.append(self.problem(sentence, *steps))


def read_resolved(model: type[ModelT], resolved: Resolved, place: Place) -> ModelT | None:
    """A resolved table as a `model`, or None. What is wrong with it or a reference in it is noted, without a secret."""
    here = replace(place, found=[])
    for steps, sentence in resolved.failures:
        here.note(sentence, *steps)
    table = read_table(model, resolved.known(), here, resolved=resolved.places)
    redact = Redactor(resolved.secrets).redact
    place.found.extend(problem.redacted(redact) for problem in here.found)
    return table


def read_table(
    model: type[ModelT], values: Mapping[str, Any], place: Place, *, resolved: Collection[KeyPath] = ()
) -> ModelT | None:
    """`values` as a `model`; None where something is wrong with them, which is noted.

    resolved: the paths of texts that came from a reference; where the model wants a number, such a text is one.
    """
    taken = _with_numbers(model, values, resolved)
    try:
        return _validated(model, taken)
    except ValidationError as error:
        _note(model, error.errors(include_url=False), taken, place)
        return None


def _validated(model: type[ModelT], values: dict[str, Any]) -> ModelT:
    """As JSON, where strict models take a list for a tuple; as they are, where someone's Python gave other values."""
    try:
        text = json.dumps(values)
    except (TypeError, ValueError):
        return model.model_validate(values)
    return model.model_validate_json(text)


def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys that a model has in the document: its fields by alias."""
    return tuple(info.alias or name for name, info in model.model_fields.items())


def numeric_keys(model: type[BaseModel]) -> frozenset[str]:
    """The keys whose value is a number or a boolean, so that a resolved text must be read as one."""
    return frozenset(
        info.alias or name
        for name, info in model.model_fields.items()
        if _alternatives(info.annotation) & {int, float, bool} and str not in _alternatives(info.annotation)
    )


def _with_numbers(model: type[BaseModel], values: Mapping[str, Any], paths: Collection[KeyPath]) -> dict[str, Any]:
    """`values`, where each text at one of `paths` that is to be a number is one."""
    taken = dict(values)
    for key in taken.keys() & {path[0] for path in paths}:
        within = [path[1:] for path in paths if path[0] == key]
        nested = _nested(model, key)
        if () in within and key in numeric_keys(model):
            taken[key] = _from_text(taken[key])
        elif nested is not None and isinstance(taken[key], dict):
            taken[key] = _with_numbers(nested, taken[key], within)
    return taken


def _nested(model: type[BaseModel], key: str | int) -> type[BaseModel] | None:
    """The model of the table that may stand at a key, if there is one."""
    info = next((info for name, info in model.model_fields.items() if key in (name, info.alias)), None)
    choices = _alternatives(info.annotation) if info else ()
    return next((choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)), None)


def _alternatives(annotation: object) -> frozenset[object]:
    """The plain types of an annotation: `Annotated[float, …] | None` has float and None."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return frozenset().union(*(_alternatives(choice) for choice in typing.get_args(annotation)))
    return frozenset((annotation,)) if isinstance(annotation, type) else frozenset()


def _from_text(text: object) -> object:
    """The number or boolean that a resolved text spells, or the text itself, about which the model then complains."""
    if not isinstance(text, str):
        return text
    try:
        value = json.loads(text.strip())
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, int | float) else text


def _note(model: type[BaseModel], errors: list[ErrorDetails], values: dict[str, Any], place: Place) -> None:
    """One problem for each place; a union's branches complain each, and make one sentence.

    Of a place within which something is wrong only that is said: it is what the other branches do not take.
    """
    by_steps: dict[KeyPath, list[ErrorDetails]] = {}
    for error in errors:
        mistakes = error.get("ctx", {}).get("error")
        if isinstance(mistakes, KeyMistakesError):
            for key, sentence in mistakes.by_key.items():
                place.note(sentence, *_steps(error, values), key)
        else:
            by_steps.setdefault(_steps(error, values), []).append(error)
    outer = {steps[:depth] for steps in by_steps for depth in range(len(steps))}
    for steps, complaints in by_steps.items():
        if steps not in outer:
            place.note(_sentence(complaints, _keys_at(model, steps), place.within(*steps).path), *steps)


def _keys_at(model: type[BaseModel], steps: KeyPath) -> tuple[str, ...]:
    """The keys that may stand beside the last of `steps`: those of the model that is nested there, if one is."""
    for step in steps[:-1]:
        nested = _nested(model, step)
        if nested is None:
            return ()
        model = nested
    return keys_of(model)


def _steps(error: ErrorDetails, values: Any) -> KeyPath:  # the document's values, of any shape
    """The part of pydantic's location that is in the document: it also names the branches of unions."""
    *outer, last = error["loc"] or ("",)
    steps: list[str | int] = []
    for step in (*outer, last):
        if isinstance(values, dict | list) and step in (values if isinstance(values, dict) else range(len(values))):
            steps.append(step)
            values = values[step]  # type: ignore[index]  # a key of the table, or an index in the list
    return (*steps, last) if error["type"] == "missing" else tuple(steps)


def _sentence(complaints: Sequence[ErrorDetails], known_keys: Sequence[str], path: KeyPath) -> str:
    """One sentence for what pydantic says of one place; several complaints are the branches of a union."""
    first = next((complaint for complaint in complaints if complaint["type"] in _OF_VALIDATORS), complaints[0])
    match first["type"]:
        case "missing":
            return "is missing: add it"
        case "extra_forbidden":
            key = str(path[-1])
            return f"is not a known key{did_you_mean(key, known_keys) or '; known are: ' + ', '.join(known_keys)}"
        case kind if kind in _OF_VALIDATORS:
            return str(first.get("ctx", {}).get("error", first["msg"]))
    wanted = tuple(dict.fromkeys(_wanted(complaint) for complaint in complaints))
    value = first["input"]
    if any(kind is None for kind in wanted):
        return f"{first['msg'][:1].lower()}{first['msg'][1:]}, and is {shown(value, path)}"
    return f"must be {' or '.join(map(str, wanted))}, and is {shown(value, path)}{_fix(first, value)}"


def _wanted(complaint: ErrorDetails) -> str | None:
    """What should have stood there; None where we have no words of our own for it."""
    template = _WANTED.get(_ENDING.sub("", complaint["type"]))
    return None if template is None else template.format(**complaint.get("ctx", {}))


def _fix(complaint: ErrorDetails, value: object) -> str:
    kind = complaint["type"]
    if kind.startswith(("int_", "float_", "bool_")) and isinstance(value, str):
        wanted = (bool,) if kind.startswith("bool_") else (int, float)
        return ": write it without quotes" if type(_from_text(value.casefold())) in wanted else ""
    if kind == "string_type" and isinstance(value, int | float):
        return ": write it in quotes"
    if kind == "literal_error" and isinstance(value, str):
        expected = str(complaint.get("ctx", {}).get("expected", ""))
        return did_you_mean(value, [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")])
    return ""
