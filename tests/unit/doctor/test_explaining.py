"""Why a pool, a worker and a task are as they are: each reason from the facts that show it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from consumerd.doctor.explaining import HOLDS, Known, Said, explain_pool, explain_worker, what_holds
from consumerd.doctor.explaining_task import Parked, explain_parked, explain_running, explain_suspect
from consumerd.doctor.past import Act, Happened, acts_in, events_in
from consumerd.wire.board import Hold
from consumerd.wire.problems import ProblemKind
from consumerd.wire.schedules import ScheduleStatus
from consumerd.wire.status import Flag, Paused, PoolStatus, Scaling, ShardStatus, TaskStatus
from unit.doctor.test_findings import WELL, away, died_of, last_end, limit, worker, wrong

AT = 1_000_000.0
DATE = "1970-01-12"
WAITS = "shows what its pre_consume waits for"


def known(**changed: Any) -> Known:
    facts = {name: changed.pop(name) for name in ("limits", "happened", "acts", "next_probes_s") if name in changed}
    return Known(msgspec.structs.replace(WELL, **changed), AT, **facts)


def about(said: list[Said], which: str) -> str:
    return " ".join(each.sentence for each in said if each.about == which)


def did(method: str, **params: Any) -> Act:
    return Act(AT - 60, "ann", method, params)


def test_of_a_pool_to_which_nothing_has_happened_little_is_said() -> None:
    said = explain_pool(known())
    assert [each.about for each in said] == ["state", "behind", "held", "change"]
    assert about(said, "state") == "shop/mails is up, for 100 s, with 2 of 2 wanted workers in their loop."
    assert about(said, "behind") == "0 tasks wait, as of 1 s ago; 0 are in the hands of its workers."
    assert about(said, "held") == "Nothing holds its tasks back."


HELD: dict[str, tuple[dict[str, Any], str]] = {
    "failed": ({"state": "failed", "reason": "no module\nmore"}, "its code does not run: no module"),
    "paused": ({"is_paused": True, "paused": Paused(at=1.0, by="ann")}, "ann has paused it"),
    "throttled": ({"throttled": "not before 22:00"}, "its throttle says so, not before 22:00"),
    "source": ({"flags": away("source", "refused")}, "its source has not answered since 1970-01-01: refused"),
    "store": ({"flags": away("store", "full")}, "the parking store has not answered since 1970-01-01: full"),
    "needs": ({"flags": away("destination", "no")}, "what they need has not answered since 1970-01-01: no"),
    "destination": ({"wrong": [wrong(ProblemKind.DESTINATION_OPEN, "smtp is open", "smtp")]}, "smtp is open"),
    "limit": ({"limits": [limit(first_waits_s=7.0)]}, "3 of them wait for the limit channel, the first for 7 s"),
    "start": (
        {"workers": [worker(1, state="starting", since_s=40.0)]},
        f"worker 1 has not come to its loop for 40 s: consumerd stacks shop/mails#1 {WAITS}",
    ),
    "hold": ({"workers": [worker(1, hold="unsettled_full")]}, f"of worker 1, {HOLDS['unsettled_full']}"),
}


@pytest.mark.parametrize("name", HELD)
def test_what_holds_tasks_back_is_said(name: str) -> None:
    changed, reason = HELD[name]
    assert what_holds(known(**changed)) == reason


def test_the_first_reason_is_that_of_which_a_gate_asks_first_and_of_those_away_the_one_that_was_first() -> None:
    flags = [Flag(away="store", since=9.0, error="later"), Flag(away="source", since=5.0, error="earlier")]
    assert "earlier" in what_holds(known(flags=flags))
    assert what_holds(known(flags=flags, is_paused=True)) == "it is paused"


def test_every_reason_of_a_gate_has_its_words() -> None:
    assert {hold.name.lower() for hold in Hold} - {"nothing"} == set(HOLDS)


def test_workers_that_are_all_busy_are_what_holds_tasks_back() -> None:
    busy = known(workers=[worker(0, running=1), worker(1, running=1)])
    assert "; 2 are in the hands of its workers." in about(explain_pool(busy), "behind")
    assert "each of their places (2) is taken" in about(explain_pool(busy), "held")


def test_where_no_worker_is_in_its_loop_that_is_what_holds_tasks_back() -> None:
    said = explain_pool(known(workers_running=0, workers=[worker(0, state="starting", since_s=3.0)]))
    assert about(said, "held") == "None of its workers is in its loop, so that none of its tasks is done."


def test_of_a_query_whose_lag_nobody_knows_the_hook_that_counts_it_is_named() -> None:
    said = about(explain_pool(known(source="query", lag=[])), "behind")
    assert said.startswith("How many tasks wait is not known, since its class has no waiting() that counts them; 0 are")
    assert "waiting()" not in about(explain_pool(known(source="generator", lag=[])), "behind")


def test_what_was_set_by_hand_is_said_with_who_did_it() -> None:
    acts = [did("scale", target="shop", workers=3), did("destinations-open", destination="smtp")]
    held = [wrong(ProblemKind.DESTINATION_HELD, "held", "smtp")]
    said = about(explain_pool(known(workers_pinned=3, wrong=held, acts=acts)), "by_hand")
    assert f"set to 3 by ann at {DATE}" in said
    assert f"ann at {DATE} opened its destination smtp" in said
    of_others = [did("scale", target="other/one", workers=3)]
    assert "by ann" not in about(explain_pool(known(workers_pinned=3, acts=of_others)), "by_hand")


def test_the_number_of_workers_is_explained_by_the_lag_or_the_shards() -> None:
    scaling = Scaling(min=1, max=9, target_seconds=30.0, wanted=4, needed=4, reason="4 keep up")
    said = about(explain_pool(known(scaling=scaling)), "workers")
    assert said == "It may have 1 to 9 workers, so that no task waits for more than 30 s: 4 keep up."
    assert "has 1 shards" in about(explain_pool(known(workers_helping=1)), "workers")


def test_the_last_change_is_told_with_who_asked_and_what_differed() -> None:
    happened = [
        Happened(AT - 50, "configuration_reloaded", "", {"changes": ["shop/mails amended workers", "shop/b gone"]}),
        Happened(AT - 40, "edition_established", "shop/mails", {"edition": 2}),
    ]
    pool = {"edition": 2, "established": 2, "happened": happened, "acts": [did("reload")]}
    said = about(explain_pool(known(**pool)), "change")
    assert said.endswith("edition 2 proved itself, after ann had asked for a reload (amended workers).")
    assert "is on trial" in about(explain_pool(known(edition=2)), "change")
    taken_back = known(edition=2, rejected=2, reason="it died")
    assert "taken back: it died" in about(explain_pool(taken_back), "change")


def test_what_comes_next_is_told() -> None:
    schedule = ScheduleStatus(next=[AT + 60], running=[], waiting=0, finished=1, last_took_s=1.0, missed=0, skipped=0)
    workers = [worker(0, state="backing_off", starts_in_s=9.0, last_end=last_end()), worker(1, starts_in_s=4.0)]
    said = explain_pool(known(schedule=schedule, workers=workers, restarts=5, next_probes_s={"smtp": 3.0}))
    assert "Worker 1 starts again in 4 s." in about(said, "next")
    assert "Its next run is due at 1970-01-12T13:47:40" in about(said, "next")
    assert "smtp is probed in 3 s" in about(said, "next")
    assert "SIGSEGV: bang; there were 5 restarts" in about(said, "end")


def test_a_worker_says_what_it_does_or_why_it_does_nothing() -> None:
    busy = explain_worker(known(), worker(1, running=2, at_once=4, busy_s=7.0))
    assert "It runs 2 of 4 tasks that it may run at once, the longest for 7 s." in about(busy, "doing")
    held = explain_worker(known(), worker(1, hold="store_away"))
    assert HOLDS["store_away"] in about(held, "doing")
    idle = explain_worker(known(is_paused=True), worker(1, hold="nothing"))
    assert about(idle, "doing") == "It runs no task: it is paused."
    stuck = explain_worker(known(), worker(1, stuck="has been stopped by a signal for 20 s"))
    assert about(stuck, "doing") == "It has been stopped by a signal for 20 s."


PARKED = Parked("abcd", "shop/mails", "mails:7", "waiting", AT + 9, 3, 0.0, 5.0, "KeyError: 'to'", 0)


def test_a_parked_task_says_why_and_when_it_is_tried_again() -> None:
    def of(pool: Known | None = None, *acts: Act, **changed: Any) -> list[Said]:
        return explain_parked(msgspec.structs.replace(PARKED, **changed), pool, acts, AT)

    assert "is parked as waiting, after 3 attempts since 1970-01-01T00:00:00.000Z" in about(of(known()), "state")
    assert "is due in 9 s" in about(of(known()), "next")
    assert about(of(known(is_paused=True), due_at=AT - 1), "next") == "It is due, and held back: it is paused."
    assert "parked retry abcd" in about(of(known(), state="dead", due_at=None), "next")
    assert "does not run shop/mails" in about(of(None), "next")
    assert about(of(known(), did("parked.retry", references=["abcd"])), "by_hand").startswith("ann had it retried")
    assert about(of(known(), did("parked.retry", references=["xyz"])), "by_hand") == ""


def test_a_task_that_runs_says_where() -> None:
    said = explain_running(TaskStatus(task="shop/mails#2:0:7", id="mails:7", busy_s=3.0))
    assert about(said, "doing") == "shop/mails#2 runs mails:7, for 3 s at most."


def test_the_audit_log_is_read_though_its_begin_is_cut_off_and_without_what_was_refused() -> None:
    line = {"at": "2026-11-29T10:00:00.000Z", "user": "ann", "method": "scale", "params": {"target": "shop"}}
    lines = [
        'ut off"}',
        json.dumps(line | {"failed": None}),
        json.dumps(line | {"failed": "no"}),
        '{"at": 1, "event": 2}',
    ]
    (act,) = acts_in(lines)
    assert (act.by, act.method, act.concerns("shop/mails"), act.concerns("other/one")) == ("ann", "scale", True, False)


def test_what_was_done_on_the_page_is_of_who_was_signed_in() -> None:
    line = {"at": "2026-11-29T10:00:00.000Z", "user": "daemon", "via": "ann", "method": "scale", "params": {}}
    (act,) = acts_in([json.dumps(line | {"failed": None})])
    assert act.by == "daemon (ann)"


def test_events_are_read_with_their_time() -> None:
    item = {"timestamp": "1970-01-12T13:46:40.000Z", "level": "info", "event": "fed", "consumer": "shop/mails"}
    (happened,) = events_in([item])
    assert (happened.at, happened.name, happened.consumer) == (AT, "fed", "shop/mails")


def test_pools_of_a_status_can_be_explained_without_more() -> None:
    pool: PoolStatus = msgspec.structs.replace(WELL, lag=[ShardStatus(shard=0, tasks=7, oldest_s=3.0, position=1)])
    assert "7 tasks wait, the oldest for 3 s" in about(explain_pool(Known(pool, AT)), "behind")


def test_a_later_reload_is_no_part_of_the_last_change() -> None:
    happened = [
        Happened(AT - 90, "configuration_reloaded", "", {"changes": ["shop/mails replaced (class)"]}),
        Happened(AT - 80, "edition_established", "shop/mails", {"edition": 2}),
        Happened(AT - 60, "configuration_reloaded", "", {"changes": ["shop/mails amended (max_memory)"]}),
    ]
    said = about(explain_pool(known(edition=2, established=2, happened=happened, acts=[did("reload")])), "change")
    assert said.endswith("edition 2 proved itself (replaced (class)).")


def test_one_is_said_as_one() -> None:
    said = explain_pool(known(workers_stalled=1, restarts=1, workers=[worker(0, last_end=last_end())]))
    assert "1 makes no progress" in about(said, "state")
    assert "there was 1 restart since the master started" in about(said, "end")


def test_the_task_of_which_workers_die_is_named_until_it_is_cleared() -> None:
    happened = died_of("t:1", 60, 50)
    said = about(explain_pool(known(suspects=1, happened=happened)), "suspect")
    assert said.startswith("2 workers died (the last: SIGKILL) while they ran t:1: ")
    assert about(explain_pool(known(suspects=0, happened=happened)), "suspect") == ""
    assert about(explain_suspect("t:1", happened), "task").endswith("after which it is parked. It is run alone.")
    assert explain_suspect("t:2", happened) == []
