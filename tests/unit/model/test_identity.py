"""Names of groups and consumers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumerd.model.identity import NAME_PATTERN, ConsumerName, is_name

names = st.from_regex(NAME_PATTERN, fullmatch=True)
consumer_names = st.builds(ConsumerName, names, names)


@given(consumer_names)
def test_a_name_comes_back_from_its_text(name: ConsumerName) -> None:
    assert ConsumerName.parse(str(name)) == name


@given(consumer_names, consumer_names)
def test_two_consumers_never_share_a_dotted_name(one: ConsumerName, other: ConsumerName) -> None:
    assert (one.dotted == other.dotted) == (one == other)


def test_names_that_differ_only_in_where_the_dot_is_stay_apart() -> None:
    assert ConsumerName("a.b", "c").dotted != ConsumerName("a", "b.c").dotted
    assert ConsumerName("a.", "b").dotted != ConsumerName("a", "b").dotted


def test_a_target_is_a_group_or_one_consumer() -> None:
    name = ConsumerName("gop", "login")
    assert name.matches("gop")
    assert name.matches("gop/login")
    assert not name.matches("login")


def test_a_name_begins_with_a_letter_and_has_64_characters_at_most() -> None:
    assert is_name("a" * 64)
    assert not any(map(is_name, ("", "1a", "a/b", "a b", "a" * 65, "ä", "a\n")))
