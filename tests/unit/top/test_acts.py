"""What keys of `consumerd top` offer: a question that says what happens, or why there is nothing to do."""

from __future__ import annotations

import shlex
from typing import Any

import click
import pytest

from consumerd.cli.main import consumerd as command_line
from consumerd.top.acts import OF_POOLS, Act, Offer, Refusal, cancelled, retried
from consumerd.verbs.parked.methods import ParkedRetry
from consumerd.wire.status import PoolStatus, status_of
from unit.verbs.test_status import document, pool, worker


def read(**more: Any) -> PoolStatus:
    return status_of(document(pool(**more))).pools[0]


def act(offer: Offer) -> Act:
    assert isinstance(offer, Act)
    return offer


BUSY = read(
    workers=[
        worker(
            slot=3,
            task="gop/login#3:0:88",
            busy_s=75.0,
            tasks=[{"task": "gop/login#3:0:88", "id": "logins:88", "busy_s": 75.0}],
        )
    ]
)
OFFERS = {
    **{name: offer(read(workers_pinned=16)) for name, offer in OF_POOLS.items()},
    "resume": OF_POOLS["pause"](read(is_paused=True)),
    "cancel": cancelled(BUSY, BUSY.workers[0]),
    "retry": retried(read(), 100.0),
}


@pytest.mark.parametrize("name", OFFERS)
def test_each_key_asks_a_question_and_names_the_command_for_the_same(name: str) -> None:
    offered = act(OFFERS[name])
    assert "?" in offered.question
    words = shlex.split(offered.command)
    with click.Context(command_line) as context:
        _, command, rest = command_line.resolve_command(context, words[1:])
    assert words[0] == "consumerd"
    assert command is not None
    assert rest, "of which pool or task"
    verb = "parked.retry" if name == "retry" else offered.verb.name
    assert verb.replace(".", " ") == " ".join(words[1:3] if name == "retry" else words[1:2])


def test_a_question_says_what_will_be() -> None:
    assert "17 workers of gop/login, in the place of 16" in act(OFFERS["more"]).question
    assert "15 workers" in act(OFFERS["fewer"]).question
    assert "1 are dead and 1 wait" in act(OFFERS["retry"]).question
    assert "worker 3 at logins:88, which it has run for 75 s" in act(OFFERS["cancel"]).question


def test_what_is_parked_later_is_not_retried() -> None:
    verb = act(OFFERS["retry"]).verb
    assert isinstance(verb, ParkedRetry)
    assert (verb.target, verb.all, verb.until) == ("gop/login", True, 100.0)


@pytest.mark.parametrize(
    "offer",
    [
        OF_POOLS["fewer"](read(workers_wanted=1)),
        OF_POOLS["automatic"](read()),
        cancelled(read(), read().workers[0]),
        cancelled(read(), None),
        retried(read(parked_now=None), 1.0),
        retried(read(parked_now={"waiting": 0, "dead": 0, "age_s": 1.0}), 1.0),
    ],
)
def test_where_there_is_nothing_to_do_it_says_why(offer: Offer) -> None:
    assert isinstance(offer, Refusal)
    assert offer.why
