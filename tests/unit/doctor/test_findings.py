"""Each finding, from the status that shows it; and none where all is well."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import click
import msgspec
import pytest

from consumerd.cli.main import consumerd as command_line
from consumerd.doctor.facts import Facts, Finding, Host
from consumerd.doctor.findings import findings
from consumerd.doctor.past import Happened
from consumerd.wire.metrics import Histogram, Metrics, PoolMetrics
from consumerd.wire.problems import PoolProblem, ProblemKind
from consumerd.wire.schedules import ScheduleStatus
from consumerd.wire.status import (
    Flag,
    LastEnd,
    LastError,
    LimitStatus,
    Paused,
    PoolStatus,
    Scaling,
    ShardStatus,
    Status,
    WorkerStatus,
    ZygoteStatus,
)

MIB = 1024**2
NOW = 1_000_000.0
POOL = PoolStatus(
    name="shop/mails",
    target="mails:Mails",
    source="table",
    state="up",
    since_s=100.0,
    edition=1,
    established=1,
    rejected=0,
    zygote=ZygoteStatus(state="ready", since_s=100.0, pid=10),
    is_paused=False,
    workers_configured=2,
    workers_pinned=None,
    workers_wanted=2,
    workers_helping=None,
    workers_running=2,
    workers_stalled=0,
    scaling=None,
    workers_finished=0,
    handled=100,
    failed=0,
    parked=0,
    unsettled=0,
    parked_now=None,
    suspects=0,
    restarts=0,
    lag=[ShardStatus(shard=0, tasks=0, oldest_s=None, position=100)],
    lag_age_s=1.0,
    later=None,
    flags=[],
    reason="",
    traceback="",
    last_error=None,
    problems=[],
    workers=[],
    paused=None,
)


def worker(slot: int = 0, **changed: Any) -> WorkerStatus:
    plain = WorkerStatus(
        slot=slot,
        state="running",
        since_s=90.0,
        pid=20 + slot,
        generation=1,
        edition=1,
        restarts=0,
        is_worn=False,
        refused="",
        is_refused=False,
        starts_in_s=None,
        stuck=None,
        last_end=None,
        running=0,
        at_once=1,
    )
    return msgspec.structs.replace(plain, **changed)


WELL = msgspec.structs.replace(POOL, workers=[worker(0), worker(1)])


def facts(
    before: PoolStatus = WELL,
    limits: tuple[LimitStatus, ...] = (),
    free: int = 900,
    happened: Sequence[Happened] = (),
    took_s: float = 0.0,
    **changed: Any,
) -> Facts:
    """A pool as it was, two seconds before it was changed so. took_s: what its tasks have taken until then."""

    def status(pool: PoolStatus) -> Status:
        return Status(
            version="1",
            pid=1,
            config="shop.toml",
            started_at=0.0,
            state="running",
            is_healthy=True,
            problems=[],
            pools=[pool],
            disabled=[],
            limits=list(limits),
        )

    now = msgspec.structs.replace(before, **changed)
    host = Host("/state", free * MIB, 10_000 * MIB)
    calls = Histogram([took_s, 10 * took_s], [100, 0, 0], 100 * took_s)
    numbers = [PoolMetrics(before.name, calls, [], {})] if took_s else []
    looks = (Metrics(status(before), numbers, {}), Metrics(status(now), numbers, {}))
    return Facts.of(looks, 2.0, host, NOW, happened)


def happened(ago_s: float, name: str, consumer: str = "shop/mails", **fields: Any) -> Happened:
    return Happened(NOW - ago_s, name, consumer, fields)


def crashed(*ago_s: float) -> list[Happened]:
    return [happened(each, "worker_ended", cause="crashed") for each in sorted(ago_s, reverse=True)]


def died_of(task: str, *ago_s: float, limit: int = 3) -> list[Happened]:
    """Deaths of one task, one after the other."""
    return [
        each
        for crashes, at in enumerate(sorted(ago_s, reverse=True), 1)
        for each in (
            happened(at, "task_suspected", task=task, crashes=crashes, limit=limit, end="SIGKILL"),
            *crashed(at),
        )
    ]


def worn(*ago_s: float, limit: str = "max_memory") -> list[Happened]:
    return [happened(each, "worker_worn_out", worker_id=0, limit=limit, reason="65 MiB") for each in ago_s]


def moved(*ago_s: float) -> list[Happened]:
    return [happened(each, "partitions_revoked", partitions=[1]) for each in ago_s]


def limit(**changed: Any) -> LimitStatus:
    plain = LimitStatus(
        limit="channel",
        by=None,
        key=None,
        at_once=5,
        per_second=None,
        running=5,
        waiting=3,
        placeless=0,
        first_waits_s=None,
        hosts=None,
        is_unshared=False,
    )
    return msgspec.structs.replace(plain, **changed)


def away(what: str, error: str) -> list[Flag]:
    return [Flag(away=what, since=0.0, error=error)]


def wrong(kind: ProblemKind, told: str, about: str = "") -> PoolProblem:
    return PoolProblem(kind, f"shop/mails: {told}", about)


def last_end(**changed: Any) -> LastEnd:
    plain = LastEnd(
        at=1.0, pid=9, generation=1, end="SIGSEGV", reason="", culprit=None, board=None, stacks="", stderr="a\nbang"
    )
    return msgspec.structs.replace(plain, **changed)


SCHEDULE = ScheduleStatus(next=[], running=[], waiting=0, finished=1, last_took_s=1.0, missed=0, skipped=0)
BEHIND: dict[str, Any] = {"lag": [ShardStatus(shard=0, tasks=500, oldest_s=120.0, position=100)]}
BUSY = [worker(0, running=1), worker(1, running=1)]
SLOW = [worker(0, running=1, busy_s=4.0), worker(1, running=1, busy_s=3.0)]
KEYED = msgspec.structs.replace(WELL, ordered="key", workers=[worker(0, running=1, at_once=8)], unsettled=60)
ONE_OF_TWO = [
    ShardStatus(shard=0, tasks=5, oldest_s=1.0, position=1),
    ShardStatus(shard=1, tasks=995, oldest_s=120.0, position=1),
]
ONE_BUSY = msgspec.structs.replace(WELL, workers=[worker(0), worker(1, running=1)], lag=ONE_OF_TWO)
CASES: dict[str, Facts] = {
    "disk_full": facts(free=3),
    "store_unreachable": facts(flags=away("store", "disk full")),
    "code_not_loaded": facts(state="failed", established=0, reason="no module", traceback="a\nImportError: no"),
    "import_hangs": facts(zygote=ZygoteStatus(state="loading", since_s=50.0, pid=10), state="loading", established=0),
    "start_hangs": facts(
        workers_running=1,
        workers=[worker(0), worker(1, state="starting", since_s=40.0)],
        wrong=[wrong(ProblemKind.TOO_FEW_UP, "1 of 2 workers are up")],
    ),
    "source_unreachable": facts(flags=away("source", "connection refused")),
    "source_refuses": facts(flags=away("source", "Access denied for user 'shop'")),
    "source_read_only": facts(flags=away("source", "The server is running with --read-only")),
    "source_missing": facts(
        last_error=LastError(name="consume_failed", fields={"error": "unknown topic mails"}, at=1.0), workers_running=0
    ),
    "configuration_refused": facts(happened=[happened(60, "reload_refused", "", error="a.toml: no such key\nanother")]),
    "clocks_apart": facts(clock_ahead_s=-40.0),
    "memory_grows": facts(happened=worn(60, 30)),
    "partitions_restless": facts(happened=moved(*range(60, 0, -10))),
    "tasks_slow": facts(workers=SLOW, took_s=0.02, **BEHIND),
    "hot_key": facts(before=KEYED, **BEHIND),
    "hot_shard": facts(before=ONE_BUSY, handled=102),
    "change_rejected": facts(edition=2, rejected=2, reason="its first worker died"),
    "worker_frozen": facts(workers=[worker(0, stuck="is stopped", stuck_in="stopped", state="stalled")]),
    "worker_stuck": facts(workers=[worker(0, stuck="has taken no turn", stuck_in="loop", state="stalled")]),
    "task_stuck": facts(workers=[worker(0, stuck="is on offset 3", stuck_in="task", state="stalled")]),
    "task_kills_workers": facts(suspects=1, restarts=2, workers=[worker(0, last_end=last_end())]),
    "crash_loop": facts(workers=[worker(n, state="backing_off", last_end=last_end()) for n in range(2)]),
    "destination_down": facts(wrong=[wrong(ProblemKind.DESTINATION_OPEN, "smtp is open", "smtp")]),
    "destination_held": facts(wrong=[wrong(ProblemKind.DESTINATION_HELD, "held open", "a b")]),
    "all_attempts_fail": facts(flags=away("failing", "KeyError: 'uid'")),
    "retry_storm": facts(failed=50, handled=110),
    "limit_starves": facts(limits=(limit(first_waits_s=100.0),)),
    "limit_unshared": facts(limits=(limit(is_unshared=True),)),
    "clock_set": facts(happened=[happened(900, "clock_stepped", "", by_s=-1800.0)]),
    "limits_full": facts(limits=(limit(by="user", placeless=3, first_waits_s=100.0),)),
    "schedule_late": facts(schedule=msgspec.structs.replace(SCHEDULE, waiting=2), **BEHIND),
    "paused_and_behind": facts(is_paused=True, paused=Paused(at=1.0, by="ann"), **BEHIND),
    "more_workers_than_shards": facts(workers_helping=1, **BEHIND),
    "too_few_workers": facts(workers=BUSY, handled=150, **BEHIND),
    "idle_while_behind": facts(**BEHIND),
    "other_problem": facts(wrong=[wrong(ProblemKind.SOURCE_SILENT, "it has not answered worker 1 for 20 s")]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_cause_is_found_first(name: str) -> None:
    found = findings(CASES[name])
    assert [each.name for each in found][:1] == [name], found
    assert len(found) == 1, "one cause is one finding"


@pytest.mark.parametrize("name", CASES)
def test_a_finding_says_what_why_and_what_to_do(name: str) -> None:
    found: Finding = findings(CASES[name])[0]
    assert found.sentence.endswith(".")
    assert any(found.evidence)
    assert found.steps
    assert all(step.why for step in found.steps)
    assert all(step.command == "" or step.command.split()[0] in COMMANDS for step in found.steps)


@pytest.mark.parametrize("name", CASES)
def test_each_step_is_a_command_that_can_be_given(name: str) -> None:
    for step in findings(CASES[name])[0].steps:
        if step.command.startswith("consumerd "):
            command: click.Command | None = command_line
            context, words = click.Context(command_line), shlex.split(step.command)[1:]
            while isinstance(command, click.Group):
                _, command, words = command.resolve_command(context, words)
                assert command is not None
                context = click.Context(command, parent=context)
            assert command is not None
            command.make_context(command.name, words)


COMMANDS = {"chronyc", "consumerd", "df", "kafka-consumer-groups.sh", "kill", "ps", "py-spy", "timedatectl"}


def test_a_worker_that_runs_no_task_is_not_cancelled_and_of_several_one_is_named() -> None:
    stuck = worker(2, stuck="waits", stuck_in="loop", state="stalled")
    (loop,) = findings(facts(workers=[stuck]))
    assert [step.command for step in loop.steps] == ["consumerd stacks shop/mails#2", "kill -KILL 22"]
    hangs = {"stuck_in": "task", "running": 3, "at_once": 4, "task": "shop/mails#2:0:88"}
    (task,) = findings(facts(workers=[msgspec.structs.replace(stuck, **hangs)]))
    assert task.steps[1].command == "consumerd cancel shop/mails#2:0:88"


@pytest.mark.parametrize("by", ["user", None], ids=["by a field", "by what the consumer says"])
def test_of_a_limit_by_key_the_tasks_without_a_key_are_named_where_none_of_its_keys_is_late(by: str | None) -> None:
    whole, key = limit(by=by, first_waits_s=100.0), limit(by=by, key="ann", first_waits_s=3.0)
    late = msgspec.structs.replace(key, first_waits_s=100.0)
    (without_key,) = findings(facts(limits=(whole, key)))
    assert (without_key.name, without_key.sentence) == ("limit_starves", "Tasks wait 100 s for the limit channel.")
    assert ("those that wait so long have no user, and are counted together" in without_key.evidence) == (by == "user")
    (of_key,) = findings(facts(limits=(whole, key, late)))
    assert of_key.sentence == "Tasks wait 100 s for the limit channel of ann."


def test_where_all_is_well_nothing_is_found() -> None:
    assert findings(facts()) == []
    assert (
        findings(facts(handled=1000, failed=3, lag=[ShardStatus(shard=0, tasks=5000, oldest_s=10.0, position=100)]))
        == []
    )
    assert findings(facts(workers=BUSY, handled=150)) == []
    assert findings(facts(**BEHIND, asked=40)) == [], "its workers do something: its tasks are put off"
    assert findings(facts(limits=(limit(first_waits_s=3.0),))) == []
    (of_one,) = findings(
        facts(limits=(limit(first_waits_s=100.0),), before=msgspec.structs.replace(WELL, limits=["channel"]))
    )
    assert (of_one.consumer, of_one.evidence[1]) == ("shop/mails", "it allows at once 5 to shop/mails together")


RELOADED = happened(30, "configuration_reloaded", "", changes=[])
CHANGED = happened(30, "edition_established", edition=2)
OURS = [happened(ago_s, "worker_ready") for ago_s in range(60, 0, -10)]
NO_FINDINGS: dict[str, list[Happened]] = {
    "a mistake that was mended": [happened(60, "reload_refused", "", error="no such key"), RELOADED],
    "memory that was used up hours after": worn(599, 60),
    "workers that have done their tasks": worn(60, 30, limit="max_tasks"),
    "memory of the code from before": [*worn(60, 40), CHANGED],
    "partitions that move since workers begin": [*moved(*range(60, 0, -10)), *OURS],
    "partitions that have come to rest": moved(*range(110, 50, -10)),
    "partitions that moved a few times": moved(30, 20, 10),
    "a clock that was set an hour ago": [happened(3600, "clock_stepped", "", by_s=1800.0)],
    "deaths of the code from before": [*crashed(60, 50, 40), CHANGED],
    "deaths of a task that is parked by now": died_of("t:1", 60, 50, 40),
    "deaths a while ago": crashed(170, 160, 150),
    "runs for which another one stood": [happened(60, "ticks_missed", ticks=1, missed="once")],
    "runs that were missed and made up for": [
        happened(60, "ticks_missed", ticks=1, missed="skip"),
        happened(50, "run_asked_for"),
    ],
}


@pytest.mark.parametrize("name", NO_FINDINGS)
def test_what_is_over_or_was_our_own_doing_is_no_finding(name: str) -> None:
    assert findings(facts(happened=NO_FINDINGS[name], schedule=SCHEDULE)) == []


def test_deaths_after_a_change_say_so_and_that_the_code_from_before_ends_them() -> None:
    (found,) = findings(facts(edition=2, happened=[happened(90, "edition_established"), *crashed(60, 50, 40)]))
    assert found.name == "crash_loop"
    assert found.evidence[0].startswith("none had died before edition 2, which came at ")
    assert "from before is back" in found.steps[-1].why
    (before,) = findings(facts(edition=2, happened=crashed(60, 50, 40)))
    assert not any("edition" in evidence for evidence in before.evidence)


def test_deaths_of_tasks_that_were_done_in_the_end_are_a_loop_all_the_same() -> None:
    tasks = [*died_of("t:1", 60), *died_of("t:2", 50), *died_of("t:3", 40)]
    assert [found.name for found in findings(facts(happened=tasks))] == ["crash_loop"]
    parked = [*died_of("t:1", 60, 50, 40), *crashed(30, 20)]
    assert findings(facts(happened=parked)) == []
    assert [found.name for found in findings(facts(happened=[*parked, *crashed(10)]))] == ["crash_loop"]


def test_runs_that_were_missed_are_said_until_one_is_asked_for() -> None:
    missed = [happened(60, "ticks_missed", ticks=1, missed="skip")]
    (found,) = findings(facts(happened=missed, schedule=SCHEDULE))
    assert found.name == "schedule_late"


def test_where_few_tasks_have_ended_a_longer_look_is_advised() -> None:
    short = findings(facts(workers=BUSY, handled=103, **BEHIND))[0]
    assert short.steps[-1].command == "consumerd doctor shop/mails --apart 30"
    assert short.steps[-1].why.startswith("3 tasks ended in the 2 s")
    assert "--apart" not in findings(facts(workers=BUSY, handled=150, **BEHIND))[0].steps[-1].command


def test_tasks_that_always_took_long_and_such_that_nobody_waits_for_are_not_slow() -> None:
    assert [each.name for each in findings(facts(workers=SLOW, took_s=1.0, **BEHIND))] == ["too_few_workers"]
    assert findings(facts(workers=SLOW, took_s=0.02)) == []
    (slow,) = findings(CASES["tasks_slow"])
    assert slow.steps[0].command == "consumerd stacks shop/mails#0", "of the worker whose task runs for longest"


def test_workers_that_are_replaced_are_not_missing_and_such_that_stay_away_are() -> None:
    few = [wrong(ProblemKind.TOO_FEW_UP, "1 of 2 workers are up")]
    assert findings(facts(wrong=few, workers=[worker(0), worker(1, state="starting", since_s=3.0)])) == []
    (found,) = findings(facts(wrong=few, workers=[worker(0), worker(1, state="starting", since_s=40.0, pid=None)]))
    assert found.name == "other_problem"
    loading = [wrong(ProblemKind.NOT_UP, "it is loading")]
    assert findings(facts(state="loading", since_s=3.0, wrong=loading)) == []


def test_a_pool_that_may_have_more_workers_by_itself_is_not_told_to_have_them() -> None:
    scaling = Scaling(min=1, max=9, target_seconds=30.0, wanted=4, needed=9, reason="one more a minute")
    assert findings(facts(workers=BUSY, handled=150, scaling=scaling, **BEHIND)) == []
    at_most = msgspec.structs.replace(scaling, wanted=9)
    assert findings(facts(workers=BUSY, handled=150, scaling=at_most, **BEHIND))[0].name == "too_few_workers"


def test_the_task_of_which_workers_die_is_named() -> None:
    happened = [*died_of("t:1", 60, limit=2), *died_of("t:2", 50, 40, limit=2), *died_of("t:3", 30, 20, 10, limit=9)]
    (found,) = findings(facts(suspects=2, restarts=6, happened=happened))
    counts = "crashes, after which it is parked"
    assert found.evidence[:2] == [
        f"A worker died (SIGKILL) while it ran t:1: that counts as 1 of 2 {counts}",
        f"3 workers died (the last: SIGKILL) while they ran t:3: that counts as 3 of 9 {counts}",
    ]


def died(*ago_s: float) -> list[Happened]:
    return [
        happened(each, "task_parked", task=f"t:{each}", state="dead", error="AttributeError: sleeep") for each in ago_s
    ]


def test_tasks_that_all_died_since_the_edition_came_are_found() -> None:
    change = happened(70, "edition_established")
    at_work = [worker(0, handled=0, since_s=80.0), worker(1, handled=0, since_s=60.0)]
    (found,) = findings(facts(workers=at_work, happened=[change, *died(60, 50, 40)]))
    assert (found.name, found.evidence[-1]) == ("all_attempts_fail", "AttributeError: sleeep")
    assert found.sentence == "3 tasks of shop/mails have died, and none was done."
    assert findings(facts(workers=at_work, happened=[*died(75), change, *died(50, 40)])) == []
    one_done = [worker(0, handled=1, since_s=80.0), worker(1, handled=0, since_s=60.0)]
    assert findings(facts(workers=one_done, happened=died(60, 50, 40))) == []


def test_tasks_that_fail_each_of_its_own_error_are_not_said_to_have_one_in_common() -> None:
    in_a_row = [wrong(ProblemKind.FAILURES_IN_A_ROW, "its last 20 new tasks have all failed")]
    (found,) = findings(
        facts(wrong=in_a_row, last_error=LastError(name="task_failed", fields={"error": "no x"}, at=1.0))
    )
    assert "one error" not in found.sentence
    assert found.evidence == ["its last 20 new tasks have all failed", "no x"]


def test_where_all_fail_a_step_shows_the_record_and_the_traceback() -> None:
    (found,) = findings(CASES["all_attempts_fail"])
    assert ("consumerd parked show HANDLE", "see one of them, its record and its traceback") in [
        (step.command, step.why) for step in found.steps
    ]


def test_one_task_waits_and_several_wait() -> None:
    for tasks, said in ((1, "1 task waits."), (2, "2 tasks wait.")):
        lag = [ShardStatus(shard=0, tasks=tasks, oldest_s=120.0, position=100)]
        (found,) = findings(facts(is_paused=True, paused=Paused(at=1.0, by="ann"), lag=lag))
        assert said in found.sentence
