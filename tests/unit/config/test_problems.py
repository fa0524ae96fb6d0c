"""How a mistake is said."""

import pytest

from consumerd.config.problems import Path, Problem, in_document_order, path_text, raise_problems, shown
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
def test_a_path_is_written_as_a_person_would(path: Path, text: str) -> None:
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
    assert in_document_order([late, early, whole, late, settings], ["consumerd", "b"]) == [whole, settings, early, late]


def test_problems_are_raised_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        raise_problems([Problem("f", ("a",), "one"), Problem("f", ("b",), "two")])
    assert caught.value.problems == ("f: a: one", "f: b: two")
    assert caught.value.exit_code == 2


def test_nothing_is_raised_where_nothing_is_wrong() -> None:
    raise_problems([])
