"""What sources answer people and producers, as tests: subclass `AskedContract`, give it a `bench`."""

from __future__ import annotations

from typing import Protocol

import pytest

from consumerd.errors import UsageError
from consumerd.sources.askable import Askable, Message, TaskState

HOSTILE = (
    b'"\x1b]0;title\x07 \xe2\x80\xae <script>alert(1)</script>"',
    b'{"a": "' + b"x" * 100_000 + b'"}',
    b"\xff\x00 no UTF-8, no JSON",
    b"",
)


class AskedBench(Protocol):
    """A source that tasks can be sent to, and what its workers do.

    absent: what names no task that there is. nonsense: what names none at all.
    """

    absent: str
    nonsense: str

    def asked(self) -> Askable:
        """As a probe asks it: anew each time."""

    def finish(self, count: int) -> None:
        """A worker takes so many of the tasks that come first, and settles them durably."""

    def stored(self) -> object:
        """All that the source holds, and all that has been taken of it: two equal values, nothing has happened."""


def payloads(*numbers: int) -> list[Message]:
    return [Message(b"%d" % number) for number in numbers]


def sent(bench: AskedBench, messages: list[Message]) -> list[str]:
    """The places of the messages, which the source has taken."""
    places = bench.asked().send(messages)
    assert None not in places
    return [place for place in places if place is not None]


class AskedContract:
    """The suite."""

    def test_what_is_sent_comes_next_and_in_its_order(self, bench: AskedBench) -> None:
        places = sent(bench, payloads(0, 1, 2, 3, 4))
        found = bench.asked().peek(10)
        assert [(each.place, each.payload) for each in found] == [
            (place, b"%d" % number) for number, place in enumerate(places)
        ]
        assert [each.payload for each in bench.asked().peek(2)] == [b"0", b"1"]

    def test_a_task_is_pending_until_it_is_done(self, bench: AskedBench) -> None:
        places = sent(bench, payloads(0, 1, 2))
        assert [bench.asked().where(place).state for place in places] == [TaskState.PENDING] * 3
        bench.finish(2)
        states = [bench.asked().where(place).state for place in places]
        assert states == [TaskState.DONE, TaskState.DONE, TaskState.PENDING]
        assert [each.payload for each in bench.asked().peek(10)] == [b"2"]

    def test_it_is_found_by_the_id_that_a_look_tells_as_well(self, bench: AskedBench) -> None:
        sent(bench, payloads(0))
        (first,) = bench.asked().peek(1)
        assert first.id is not None
        found = bench.asked().where(first.id)
        assert found.state is TaskState.PENDING
        assert first.id in found.ids

    def test_to_ask_changes_nothing(self, bench: AskedBench) -> None:
        places = sent(bench, payloads(0, 1, 2))
        bench.finish(1)
        before = bench.stored()
        for _ in range(2):
            assert [each.payload for each in bench.asked().peek(10)] == [b"1", b"2"]
            assert bench.asked().where(places[1]).state is TaskState.PENDING
        assert bench.stored() == before

    def test_records_are_shown_byte_for_byte(self, bench: AskedBench) -> None:
        sent(bench, [Message(payload) for payload in HOSTILE])
        assert tuple(each.payload for each in bench.asked().peek(10)) == HOSTILE

    def test_where_nothing_is_nothing_comes_next(self, bench: AskedBench) -> None:
        assert list(bench.asked().peek(10)) == []

    def test_what_is_not_there_is_absent(self, bench: AskedBench) -> None:
        sent(bench, payloads(0))
        found = bench.asked().where(bench.absent)
        assert (found.state, bool(found.told)) == (TaskState.ABSENT, True)

    def test_what_names_no_task_is_refused_with_what_does(self, bench: AskedBench) -> None:
        with pytest.raises(UsageError, match=r"(name the task by|write its)"):
            bench.asked().where(bench.nonsense)

    def test_many_are_sent_at_once(self, bench: AskedBench) -> None:
        places = sent(bench, payloads(*range(300)))
        assert len(set(places)) == 300
        assert len(bench.asked().peek(1000)) == 300
