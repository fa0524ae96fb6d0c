"""Did you mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.config.suggest import did_you_mean, edit_distance, nearest

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
