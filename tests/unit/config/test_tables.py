"""A table read into a model, and what is said where it does not fit."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from consumerd.config.tables import Place, keys_of, numeric_keys, read_table


class Nested(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    depth: int = 0


class Sample(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    size: Annotated[int, Field(ge=1, lt=10)] = 1
    pace: Annotated[float, Field(gt=0)] | None = None
    flag: bool = False
    mode: Literal["fast", "slow"] = "fast"
    hosts: tuple[str, ...] = ()
    key: str | int = ""
    class_: str = Field(default="", alias="class", min_length=2, pattern="^[a-z]+$")
    nested: Nested = Nested()
    labels: dict[str, str] = Field(default_factory=dict)

    @field_validator("hosts")
    @classmethod
    def _no_blank(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if "" in hosts:
            raise ValueError("has an empty host: leave it out")
        return hosts


def sentences(**values: object) -> dict[str, str]:
    place = Place("f", ("t",))
    model = read_table(Sample, values, place)
    assert (model is None) == bool(place.found)
    return {".".join(map(str, problem.path)): problem.sentence for problem in place.found}


def test_a_good_table_is_the_model() -> None:
    model = read_table(Sample, {"size": 3, "pace": 2, "hosts": ["a"], "class": "ab"}, Place("f"))
    assert model is not None
    assert (model.size, model.pace, model.hosts, model.class_) == (3, 2.0, ("a",), "ab")


@pytest.mark.parametrize(
    ("values", "path", "sentence"),
    [
        ({"size": "3"}, "t.size", 'must be a whole number, and is "3": write it without quotes'),
        ({"size": "three"}, "t.size", 'must be a whole number, and is "three"'),
        ({"size": "true"}, "t.size", 'must be a whole number, and is "true"'),
        ({"size": True}, "t.size", "must be a whole number, and is true"),
        ({"size": 2.5}, "t.size", "must be a whole number, and is 2.5"),
        ({"size": 0}, "t.size", "must be at least 1, and is 0"),
        ({"size": 10}, "t.size", "must be less than 10, and is 10"),
        ({"size": None}, "t.size", "must be a whole number, and is null"),
        ({"pace": 0}, "t.pace", "must be more than 0, and is 0"),
        ({"pace": [1]}, "t.pace", "must be a number, and is a list"),
        ({"flag": "True"}, "t.flag", 'must be true or false, and is "True": write it without quotes'),
        ({"flag": 1}, "t.flag", "must be true or false, and is 1"),
        ({"mode": "fat"}, "t.mode", "must be 'fast' or 'slow', and is \"fat\"; did you mean 'fast'?"),
        ({"hosts": "a"}, "t.hosts", 'must be a list, and is "a"'),
        ({"hosts": ["a", 3]}, "t.hosts.1", "must be text, and is 3: write it in quotes"),
        ({"hosts": [""]}, "t.hosts", "has an empty host: leave it out"),
        ({"key": 1.5}, "t.key", "must be text or a whole number, and is 1.5: write it in quotes"),
        ({"class": "a"}, "t.class", 'must be text of a length of at least 2, and is "a"'),
        ({"class": "AB"}, "t.class", 'must be text of the form ^[a-z]+$, and is "AB"'),
        ({"nested": 3}, "t.nested", "must be a table, and is 3"),
        ({"nested": {"dept": 3}}, "t.nested.dept", "is not a known key; did you mean 'depth'?"),
        ({"nested": {"x": 3}}, "t.nested.x", "is not a known key; known are: depth"),
        ({"labels": {"a": 3}}, "t.labels.a", "must be text, and is 3: write it in quotes"),
        ({"class_": "ab"}, "t.class_", "is not a known key; did you mean 'class'?"),
    ],
)
def test_a_mistake_is_said_in_our_words(values: dict[str, object], path: str, sentence: str) -> None:
    assert sentences(**values) == {path: sentence}


def test_every_mistake_is_said_at_once() -> None:
    assert set(sentences(nope=1, mode="x", size=0, labels=3)) == {"t.nope", "t.mode", "t.size", "t.labels"}


def test_a_resolved_text_is_read_as_the_number_that_is_wanted() -> None:
    values = {"size": "3", "pace": " 1.5\n", "flag": "true", "key": "4"}
    model = read_table(Sample, values, Place("f"), resolved=[(key,) for key in values])
    assert model is not None
    assert (model.size, model.pace, model.flag, model.key) == (3, 1.5, True, "4")


def test_a_resolved_text_within_a_table_is_read_as_the_number_that_is_wanted() -> None:
    model = read_table(Sample, {"nested": {"depth": "3"}}, Place("f"), resolved=[("nested", "depth")])
    assert model is not None
    assert model.nested.depth == 3


def test_a_key_that_stands_elsewhere_is_reported_there() -> None:
    place = Place("f", ("g", 0, "configs"), {"size": ("consumerd", "defaults", "size")})
    assert read_table(Sample, {"size": 0, "flag": 3}, place) is None
    assert {problem.path for problem in place.found} == {("g", 0, "configs", "flag"), ("consumerd", "defaults", "size")}


def test_keys_are_called_as_in_the_document() -> None:
    assert "class" in keys_of(Sample)
    assert numeric_keys(Sample) == {"size", "pace", "flag"}


def test_a_deeply_nested_text_is_no_number() -> None:
    assert "write it" not in sentences(size="[" * 100_000)["t.size"]
