"""How a mistake is said."""

import json
from dataclasses import asdict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.config.problems import (
    Inspection,
    KeyPath,
    Problem,
    did_you_mean,
    edit_distance,
    in_document_order,
    nearest,
    path_text,
    raise_problems,
    shown,
)
from consumerd.errors import ConfigurationError


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("group", 0, "configs", "workers"), "group[0].configs.workers"),
        (("g", "ssl.ca.location"), 'g."ssl.ca.location"'),
        (("two words", 1), '"two words"[1]'),
        (("line\nbreak",), '"line�break"'),
    ],
)
def test_a_path_is_written_as_a_person_would(path: KeyPath, text: str) -> None:
    assert path_text(path) == text


def test_a_problem_is_one_line_of_file_path_and_sentence() -> None:
    assert str(Problem("a.toml", ("g", 0), "is wrong")) == "a.toml: g[0]: is wrong"
    assert str(Problem("a.toml", (), "is wrong")) == "a.toml: is wrong"


def test_a_long_value_is_shortened_to_one_line() -> None:
    text = shown("x\n" * 100_000)
    assert len(text) < 70
    assert "\n" not in text


@pytest.mark.parametrize("key", ["password", "db_secret", "API_KEY", "parking", "database_url"])
def test_the_value_of_a_secret_key_is_not_shown(key: str) -> None:
    assert "hunter2" not in shown("hunter2", ("g", 0, "configs", key, 3))


def test_the_password_of_a_url_is_not_shown() -> None:
    assert shown("mysql://me:hunter2@host/db") == '"mysql://me:***@host/db"'


def test_problems_stand_in_the_order_of_the_document_and_once() -> None:
    late, early, whole = Problem("f", ("b", 1, "x"), ""), Problem("f", ("b", 0), ""), Problem("f", (), "")
    settings = Problem("f", ("consumerd", "log"), "")
    document = {"consumerd": {"log": 1}, "b": [{}, {"x": 1}]}
    assert in_document_order([late, early, whole, late, settings], document) == [whole, settings, early, late]


def test_problems_of_a_part_stand_behind_those_of_the_rest() -> None:
    first, second, missing = (Problem("f", ("g", 0, "configs", key), "") for key in ("first", "second", "missing"))
    entry = Problem("f", ("g", 0, "class"), "")
    found = in_document_order([second, first, entry, missing], {"first": 1, "second": 2}, ("g", 0, "configs"))
    assert found == [entry, missing, first, second]


def test_problems_are_raised_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        raise_problems([Problem("f", ("a",), "one"), Problem("f", ("b",), "two")])
    assert caught.value.problems == ("f: a: one", "f: b: two")
    assert caught.value.exit_code == 2


def test_nothing_is_raised_where_nothing_is_wrong() -> None:
    raise_problems([])


def test_an_inspection_is_the_same_on_both_ends() -> None:
    problem = Problem("f", ("g", 0, "configs"), "is wrong", "Traceback …")
    found = Inspection((problem,), "kafka", ("a remark",), ({"shard": 0, "tasks": 3},), "it is away", ({"why": "x"},))
    assert msgspec.convert(json.loads(json.dumps({**asdict(found), "last": True})), Inspection) == found


WORDS = st.text("abcde_-", max_size=12)


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [("", "", 0), ("", "abc", 3), ("workers", "worker", 1), ("kitten", "sitting", 3), ("wrokers", "workers", 2)],
)
def test_the_distance_counts_edits(left: str, right: str, distance: int) -> None:
    assert edit_distance(left, right) == distance


@given(WORDS, WORDS, WORDS)
def test_the_distance_is_a_metric(one: str, two: str, three: str) -> None:
    assert (edit_distance(one, two) == 0) == (one == two)
    assert edit_distance(one, two) == edit_distance(two, one)
    assert edit_distance(one, three) <= edit_distance(one, two) + edit_distance(two, three)


@given(WORDS, st.integers(0, 11), st.sampled_from("abcde"))
def test_one_inserted_letter_is_one_edit(word: str, place: int, letter: str) -> None:
    assert edit_distance(word, word[:place] + letter + word[place:]) == 1


def test_a_slip_of_the_pen_finds_the_word() -> None:
    assert nearest("wrokers", ["configs", "workers"]) == "workers"


def test_case_and_dashes_cost_nothing() -> None:
    assert nearest("Process-Name", ["process_name"]) == "process_name"


def test_a_key_of_kafkas_is_no_slip_in_a_common_one() -> None:
    assert nearest("brokers", ["workers"]) is None


def test_a_short_word_is_not_taken_for_any_other_short_word() -> None:
    assert nearest("db", ["id"]) is None


def test_the_nearest_of_several_is_meant() -> None:
    assert nearest("leve", ["lever", "level", "leave", "eve"]) == "lever"


def test_nothing_is_meant_by_a_word_far_from_all() -> None:
    assert did_you_mean("app_id", ["workers", "restart"]) == ""


def test_a_long_word_is_not_compared() -> None:
    assert nearest("a" * 100_000, ["a" * 99_999]) is None
