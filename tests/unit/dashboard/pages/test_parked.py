"""What the pages of parked tasks make of what somebody has written, and of what tasks hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.dashboard.access.sessions import Role
from consumerd.dashboard.memory import Memory
from consumerd.dashboard.page import Visit
from consumerd.dashboard.pages.parked import ACTS, Chosen, _escaped, _pretty, change, show_task
from consumerd.dashboard.watch import Seen
from consumerd.errors import UsageError
from consumerd.verbs.parked.methods import ParkedDiscard, ParkedEdit, ParkedRetry
from consumerd.wire.method import Method

ITEMS = [{"consumer": "shop/mail", "tasks": 3, "is_left": False}]


class Asked:
    """A master that says that three tasks are changed."""

    def __init__(self) -> None:
        self.methods: list[Method] = []

    def __call__(self, method: Method) -> object:
        self.methods.append(method)
        return ITEMS


def test_what_is_chosen_travels_in_links_as_it_was_written() -> None:
    chosen = Chosen.of({"where": "user.id=5&x", "text": " ü ", "state": "", "csrf": "secret"})
    assert chosen.link("/parked", by="error") == "/parked?text=%C3%BC&where=user.id%3D5%26x&by=error"
    assert chosen.narrowing() == {"text": "ü", "where": "user.id=5&x"}
    assert Chosen.of({}).link("/parked") == "/parked"


def test_a_change_of_all_means_those_that_were_counted_and_their_number_is_typed() -> None:
    asked = Asked()
    form = {"do": "discard", "target": "shop", "expected": "1200", "until": "17.5"}
    for typed in ("", "12", "all"):
        with pytest.raises(UsageError, match="nothing was discarded: 1200 tasks were counted"):
            change({**form, "typed": typed}, asked)
    assert not asked.methods
    assert list(change({**form, "typed": "1,200"}, asked)) == ["shop/mail: 3 discarded"]
    assert asked.methods == [ParkedDiscard(all=True, target="shop", until=17.5)]


def test_one_task_is_retried_by_its_handle_and_all_at_a_rate() -> None:
    asked = Asked()
    list(change({"do": "retry", "handle": "0123456789", "until": "0"}, asked))
    list(change({"do": "retry", "until": "17.5", "rate": "60/min"}, asked))
    assert asked.methods == [ParkedRetry(references=("0123456789",)), ParkedRetry(all=True, until=17.5, rate=1.0)]


TASK = {
    "handle": "0123456789",
    "state": "dead",
    "payload": b'{"id": 1}',
    "headers": [],
    "key": None,
    "last_at": 0.0,
}


@pytest.mark.parametrize(("role", "questions"), [(Role.OPERATOR, 2), (Role.READ_ONLY, 1)])
def test_an_edit_is_offered_only_where_the_master_takes_it(role: Role, questions: int) -> None:
    asked: list[Method] = []

    def answer(method: Method) -> object:
        asked.append(method)
        if isinstance(method, ParkedEdit):
            assert method.dry_run
            raise UsageError("its record is not changed: it is a row of a table of yours")
        return [TASK]

    visit = Visit(Seen(), Memory(), role, answer, lambda method, of: None, Path("/nonexistent"), {"handle": "0123"})
    shown = show_task(visit)
    assert len(asked) == questions
    if role is Role.OPERATOR:
        assert (shown["is_editable"], shown["why_not_edited"]) == (False, "it is a row of a table of yours")


@pytest.mark.parametrize("form", [{}, {"do": "drop"}, {"do": "retry"}, {"do": "retry", "until": "nan"}])
def test_a_form_that_says_too_little_changes_nothing(form: dict[str, str]) -> None:
    asked = Asked()
    with pytest.raises(UsageError):
        change(form, asked)
    assert not asked.methods


@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.dictionaries(st.text(), inner)))
def test_what_is_edited_is_the_same_record_and_can_be_seen(record: object) -> None:
    try:
        payload = json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    text, is_json = _pretty(payload)
    assert is_json
    edited = _escaped(text)
    assert json.loads(edited) == record
    assert all(each.isprintable() or each == "\n" for each in edited)


@given(st.binary())
def test_any_payload_is_shown(payload: bytes) -> None:
    assert isinstance(_pretty(payload)[0], str)


def test_the_acts_have_names_of_their_own() -> None:
    assert len({act.name for act in ACTS}) == len(ACTS)
