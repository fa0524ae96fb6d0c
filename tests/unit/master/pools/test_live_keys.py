"""Live keys as the master has them taken over: each zygote answers for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from consumerd.master.pools import live_keys
from consumerd.master.pools.entry import Entry
from consumerd.wire.messages import Amend, Amended, Message
from unit.master.pools.test_messages import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    loop = asyncio.new_event_loop()
    stage = Stage(loop, tmp_path)
    stage.up()
    yield stage
    stage.close()
    loop.close()


def entry_of(stage: Stage, consumer: str) -> Entry:
    before = stage.pool.newest_entry
    return replace(before, assignment=structs.replace(before.assignment, consumer=consumer))


def assignment(stage: Stage) -> str:
    return stage.pool.entry.assignment.consumer


def told(stage: Stage) -> list[Message]:
    return [message for message in stage.sent_to_second() if isinstance(message, Amend)]


def test_the_workers_are_told_when_the_zygote_has_taken_it_over_and_not_before(stage: Stage) -> None:
    live_keys.ask_zygote(stage.pool, entry_of(stage, "red"))
    assert (assignment(stage), told(stage)) == ("{}", [])
    stage.zygote_says(Amended())
    assert (assignment(stage), told(stage)) == ("red", [Amend("red")])
    assert stage.pool.wanted.workers == 2


def test_what_the_zygote_finds_wrong_changes_nothing_and_is_the_last_error(stage: Stage) -> None:
    live_keys.ask_zygote(stage.pool, entry_of(stage, "red"))
    stage.zygote_says(Amended("no color"))
    assert (assignment(stage), told(stage)) == ("{}", [])
    error = stage.pool.last_error
    assert error is not None
    assert (error.name, error.fields) == ("change_taken_back", {"reason": "no color"})


def test_answers_come_in_the_order_of_what_was_asked(stage: Stage) -> None:
    for color in ("red", "green", "blue"):
        live_keys.ask_zygote(stage.pool, entry_of(stage, color))
    stage.zygote_says(Amended(), Amended("no green"), Amended())
    assert assignment(stage) == "blue"
    assert told(stage) == [Amend("red"), Amend("blue")]


def test_the_end_of_another_editions_zygote_is_no_answer(stage: Stage) -> None:
    live_keys.ask_zygote(stage.pool, entry_of(stage, "red"))
    live_keys.zygote_ended(stage.pool, 7, 1.0)
    stage.zygote_says(Amended())
    assert assignment(stage) == "red"
    assert not [fact for fact in stage.facts if fact.name == "zygote_broken"]


def test_a_zygote_that_ends_without_an_answer_is_followed_by_a_new_edition_with_the_newest(stage: Stage) -> None:
    for color in ("red", "green"):
        live_keys.ask_zygote(stage.pool, entry_of(stage, color))
    live_keys.zygote_ended(stage.pool, 1, 1.0)
    assert stage.pool.newest_entry.assignment.consumer == "green"
    assert stage.pool.target_edition == 2


def test_an_answer_that_nobody_asked_for_breaks_the_protocol(stage: Stage) -> None:
    stage.zygote_says(Amended())
    assert [fact.fields["error"] for fact in stage.facts if fact.name == "zygote_broken"] == ["a zygote sent Amended"]
