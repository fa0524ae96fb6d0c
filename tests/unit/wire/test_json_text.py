import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.errors import WireError
from consumerd.wire.json_text import OBJECT_LIMIT_BYTES, Parser, encode

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=8), values, max_size=6)


@given(st.lists(objects, max_size=4), st.lists(st.integers(1, 200), min_size=1))
def test_objects_come_back_whatever_the_cuts(sent: list[dict[str, object]], cuts: list[int]) -> None:
    stream = b"".join(map(encode, sent))
    parser, received, start = Parser(), [], 0
    while start < len(stream):
        size = cuts[start % len(cuts)]
        received += parser.feed(stream[start : start + size])
        start += size
    assert received == sent


def test_a_stream_cut_at_any_byte_gives_what_is_whole_and_waits_for_the_rest() -> None:
    stream = encode({"a": 1}) + encode({"b": "x" * 50})
    for cut in range(len(stream)):
        parser = Parser()
        first = parser.feed(stream[:cut])
        assert first + parser.feed(stream[cut:]) == [{"a": 1}, {"b": "x" * 50}]


def test_an_object_of_megabytes_comes_back() -> None:
    assert Parser().feed(encode({"text": "é" * 1_000_000})) == [{"text": "é" * 1_000_000}]


def test_an_object_above_the_limit_is_not_sent() -> None:
    with pytest.raises(WireError, match="above the limit"):
        encode({"text": "x" * OBJECT_LIMIT_BYTES})


@given(st.binary(max_size=400), st.integers(1, 50))
def test_garbage_is_a_wire_error_or_waits_and_never_grows(garbage: bytes, size: int) -> None:
    parser = Parser()
    try:
        for start in range(0, len(garbage), size):
            parser.feed(garbage[start : start + size])
    except WireError:
        with pytest.raises(WireError):
            parser.feed(encode({"good": True}))


def test_a_line_without_an_end_is_refused_and_what_comes_behind_it() -> None:
    parser = Parser()
    for data in (b"x" * (OBJECT_LIMIT_BYTES + 1), b"\n"):
        with pytest.raises(WireError):
            parser.feed(data)


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[1]",
        b"1",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"n": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda text: repr(text[:16]),
)
def test_a_line_that_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(WireError):
        Parser().feed(text + b"\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()], ids=["nan", "inf", "set", "object"])
def test_what_is_no_json_is_not_sent(value: object) -> None:
    with pytest.raises(WireError):
        encode({"value": value})


def test_a_value_nested_without_end_is_not_sent() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(WireError):
        encode({"nested": nested})
