"""What a consumer's own code counts: read as it was written, and of several workers as of one."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from consumerd.wire.board import OWN_AT_BYTE, STACKS_AT_BYTE, Board
from consumerd.wire.figures.own_figures import FiguresWriter, figures_in, lasting, together

VALUES = st.dictionaries(st.text(max_size=40), st.floats(allow_nan=False, allow_infinity=False), max_size=20)


def key(kind: str, name: str, mode: str = "") -> str:
    return json.dumps([kind, name, name, {}, "help", mode])


def test_their_part_begins_at_a_word() -> None:
    assert OWN_AT_BYTE % 8 == STACKS_AT_BYTE % 8 == 0


@given(VALUES)
def test_what_was_written_is_read(values: dict[str, float]) -> None:
    board = Board.private()
    assert figures_in(board.words) == {}
    writer = FiguresWriter(board.words)
    for name, value in values.items():
        place = writer.place(name)
        assert place is not None
        assert place == writer.place(name), "a second value of this key"
        writer.write(place, value)
    expected = {name.encode("utf-8", "replace").decode(): value for name, value in values.items()}
    assert {name: value for name, value in figures_in(board.words).items() if name in expected} == expected


def test_one_for_which_there_is_no_room_has_no_place_and_the_others_stay() -> None:
    board = Board.private()
    writer = FiguresWriter(board.words)
    long = "x" * 1000
    places = [writer.place(f"{long}{number}") for number in range(600)]
    had = [place for place in places if place is not None]
    assert 500 < len(had) < 600
    assert writer.place("short") is not None, "a smaller one has room yet"
    assert len(figures_in(board.words)) == len(had) + 1


@given(st.binary(max_size=64), st.integers(0, 2**64 - 1))
def test_nonsense_is_read_without_an_error(nonsense: bytes, used: int) -> None:
    board = Board.private()
    part = board.words.cast("B")[OWN_AT_BYTE:STACKS_AT_BYTE]
    part[8 : 8 + len(nonsense)] = nonsense
    part.cast("Q")[0] = used
    figures_in(board.words)


def test_counters_are_added_up_and_a_gauge_is_what_it_says() -> None:
    names = [key("counter", "a"), key("gauge", "b"), key("gauge", "c", "livemax"), key("gauge", "d", "min")]
    workers = [dict(zip(names, (1.0, 2.0, 3.0, 4.0), strict=True)), dict(zip(names, (5.0, 6.0, 7.0, 8.0), strict=True))]
    assert list(together(workers).values()) == [6.0, 8.0, 7.0, 4.0]
    assert list(lasting(workers[0])) == names[:1]
