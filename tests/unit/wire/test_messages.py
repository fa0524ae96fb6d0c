import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.errors import WireError
from consumerd.wire.json_text import Parser, encode
from consumerd.wire.messages import (
    Fork,
    Hello,
    Lag,
    Loaded,
    LoadFailed,
    Message,
    Pause,
    Reported,
    Stop,
    StoreRequest,
    StoreResult,
    Wake,
    from_plain,
    to_plain,
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["$plain", "a", "b"]), inner, max_size=2)
    ),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from(["$plain", "a", "b"]), plain, max_size=3)
messages = st.one_of(
    st.builds(Fork, st.integers(), st.integers(), st.integers(), is_paused=st.booleans()),
    st.builds(Pause, st.booleans()),
    st.builds(Stop, st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(Wake),
    st.builds(Loaded, st.text(), st.dictionaries(st.text(), st.booleans()), st.lists(st.text()).map(tuple)),
    st.builds(Reported, st.text(), st.text(), mappings),
    st.builds(StoreRequest, st.text(), mappings, st.none() | st.lists(st.text()).map(tuple)),
    st.builds(StoreResult, st.lists(mappings, max_size=2).map(tuple), st.booleans(), st.none() | st.text()),
    st.builds(
        Lag,
        st.lists(st.tuples(st.integers(), st.integers(), st.none() | st.floats(0, 9e9), st.integers()), max_size=3).map(
            tuple
        ),
    ),
)


@given(messages)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    (received,) = Parser().feed(encode(to_plain(message)))
    assert from_plain(received) == message


def test_a_type_is_the_class_name() -> None:
    assert to_plain(LoadFailed("why"))["type"] == "LoadFailed"


@pytest.mark.parametrize(
    "received",
    [
        {},
        {"type": "nonsense"},
        {"type": ["fork"]},
        {"type": "Fork", "slot": 1},
        {"type": "Fork", "slot": 1, "generation": 1, "more": 2},
        {"type": "Fork", "slot": "1", "generation": 1},
        {"type": "Fork", "slot": True, "generation": 1},
        {"type": "Stop", "deadline_s": "soon"},
        {"type": "Loaded", "source": "x", "traits": {"positional": 1}},
        {"type": "Loaded", "source": "x", "traits": []},
        {"type": "Lag", "shards": [[1, 2, 3.0]]},
        {"type": "Lag", "shards": {"a": 1}},
        {"type": "Reported", "name": "x", "level": "info", "fields": {"$bytes": "no base64"}},
        {"type": "Reported", "name": "x", "level": "info", "fields": {"$bytes": 1}},
    ],
    ids=repr,
)
def test_what_is_no_message_is_refused(received: dict[str, object]) -> None:
    with pytest.raises(WireError):
        list(map(from_plain, Parser().feed(encode(received))))


@given(st.dictionaries(st.sampled_from(["type", "slot", "version"]), plain))
def test_any_object_is_a_message_or_a_wire_error(received: dict[str, object]) -> None:
    try:
        from_plain(received)
    except WireError:
        return
    assert received["type"] in ("hello", "wake")


def test_a_value_nested_without_end_is_refused() -> None:
    nested: dict[str, object] = {}
    for _ in range(100_000):
        nested = {"a": nested}
    with pytest.raises(WireError):
        to_plain(Reported("x", "info", nested))


def test_a_number_without_a_fraction_is_a_float_where_one_belongs() -> None:
    stop = from_plain({"type": "Stop", "deadline_s": 5})
    assert isinstance(stop, Stop)
    assert isinstance(stop.deadline_s, float)


def test_hello_has_a_version() -> None:
    assert from_plain({"type": "Hello", "version": "1"}) == Hello("1")
