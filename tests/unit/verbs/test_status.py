import re
from typing import Any

import pytest

from consumerd.cli.lines import printable, table
from consumerd.clock import moment, wall
from consumerd.verbs import status
from consumerd.wire.status import status_of

Plain = dict[str, Any]  # parts of a status document


def worker(**more: Any) -> Plain:
    return {
        "slot": 0,
        "state": "running",
        "since_s": 75.0,
        "pid": 4711,
        "generation": 2,
        "edition": 2,
        "restarts": 0,
        "is_worn": False,
        "refused": "",
        "is_refused": False,
        "stuck": None,
        "last_end": None,
        "starts_in_s": None,
        "handled": 12,
        "busy_s": None,
        "offset": None,
        "shard": None,
        **more,
    }


def pool(**more: Any) -> Plain:
    return {
        "name": "gop/login",
        "class": "gop:Login",
        "source": "kafka",
        "state": "up",
        "zygote": {"state": "ready", "since_s": 60.0, "pid": 4700},
        "workers_configured": 16,
        "workers_stalled": 0,
        "parked": 2,
        "suspects": 0,
        "traceback": "",
        "problems": [],
        "since_s": 60.0,
        "workers_wanted": 16,
        "workers_helping": None,
        "workers_running": 15,
        "workers_finished": 0,
        "workers_pinned": None,
        "is_paused": False,
        "paused": None,
        "scaling": None,
        "handled": 1200,
        "failed": 3,
        "parked_now": {"waiting": 1, "dead": 1, "age_s": 3.0},
        "unsettled": 40,
        "restarts": 1,
        "edition": 2,
        "established": 2,
        "rejected": 0,
        "lag": [],
        "lag_age_s": None,
        "later": None,
        "reason": "",
        "flags": [],
        "last_error": None,
        "workers": [worker()],
        **more,
    }


def document(*pools: Plain, problems: tuple[str, ...] = ()) -> Plain:
    return {
        "version": "1",
        "config": "gop.toml",
        "state": "running",
        "pid": 99,
        "started_at": 0.0,
        "pools": list(pools),
        "disabled": [],
        "limits": [],
        "is_healthy": not problems,
        "problems": list(problems),
    }


def render(answer: Plain, *, with_workers: bool, width: int | None = None) -> str:
    return status.render(status_of(answer), with_workers=with_workers, width=width)


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def note_of(text: str) -> str:
    """What stands below the pool's line."""
    lines = text.splitlines()
    return lines[lines.index(line_of(text, "gop/login")) + 1]


def test_a_schedule_is_shown_with_its_next_runs_and_how_far_a_run_has_come() -> None:
    run = {"scheduled": 0.0, "since": 60.0, "starts": 2, "done": 250.0, "total": 1000.0, "ends": 300.0}
    counts = {"waiting": 0, "finished": 9, "missed": 3, "skipped": 0, "last_took_s": 12.5}
    found = render(document(pool(schedule={"next": [86_400.0], "running": [run], **counts})), with_workers=False)
    assert "next runs: 1970-01-02T00:00:00Z; the last one took 12.5 s; 3 missed" in found
    assert "run of 1970-01-01T00:00:00.000Z: since 1970-01-01, 250 of 1000 done" in found
    assert "ends about 1970-01-01 00:05:00 UTC, given to a worker 2 times" in found


def test_a_pool_is_one_line_with_its_counts() -> None:
    line = line_of(render(document(pool()), with_workers=False), "gop/login")
    assert line.split() == ["gop/login", "up", "15/16", "1200", "3", "2", "40", "1", "-"]


def test_how_many_are_parked_is_unknown_before_somebody_counted() -> None:
    line = line_of(render(document(pool(parked_now=None)), with_workers=False), "gop/login")
    assert line.split() == ["gop/login", "up", "15/16", "1200", "3", "-", "40", "1", "-"]


def test_the_end_of_a_worker_is_told_in_words() -> None:
    error = {"name": "worker_ended", "fields": {"worker_id": 2, "end": "SIGKILL"}, "at": wall()}
    shown = note_of(render(document(pool(last_error=error, restarts=6)), with_workers=False))
    assert shown == "  worker 2 ended: SIGKILL, 6 restarts"


def test_a_paused_pool_says_so() -> None:
    assert "up, paused" in render(document(pool(is_paused=True)), with_workers=False)


def test_since_when_and_by_whom_a_pool_is_paused_is_said_beside_what_else_there_is() -> None:
    paused = pool(is_paused=True, paused={"at": 3600.0, "by": "anna"}, workers_pinned=3)
    assert note_of(render(document(paused), with_workers=False)) == "  paused since 1970-01-01 by anna"
    assert "  pinned to 3 by hand" in render(document(paused), with_workers=False).splitlines()


def test_a_reason_that_a_problem_tells_is_told_once() -> None:
    reason = "no module named x"
    error = {"name": "pool_failed", "at": wall(), "fields": {"reason": reason}}
    problem = f"gop/login has failed: {reason}"
    failed = pool(state="failed", reason=reason, last_error=error, problems=[problem])
    text = render(document(failed, problems=tuple(failed["problems"])), with_workers=False)
    assert text.count(reason) == 1


def shard(number: int, tasks: int) -> dict[str, Any]:
    return {"shard": number, "tasks": tasks, "oldest_s": None, "position": 7}


@pytest.mark.parametrize(("age_s", "said"), [(None, "1  -"), (30.0, "1  40"), (45.0, "1  40 (45 s old)")])
def test_the_lag_of_all_shards_is_shown_and_its_age_once_it_is_old(age_s: float | None, said: str) -> None:
    lag = [] if age_s is None else [shard(0, 30), shard(1, 10)]
    text = render(document(pool(lag=lag, lag_age_s=age_s)), with_workers=False)
    assert re.sub(r" {2,}", "  ", line_of(text, "gop/login")).endswith(said)


def test_tasks_that_are_due_later_are_told_beside_the_lag() -> None:
    text = render(document(pool(lag=[shard(0, 3)], lag_age_s=1.0, later=10)), with_workers=False)
    assert line_of(text, "gop/login").endswith("  3 +10 later")


def test_a_lag_that_a_source_cannot_know_is_no_zero() -> None:
    assert line_of(render(document(pool(lag=[], lag_age_s=1.0)), with_workers=False), "gop/login").endswith("  -")


def test_why_workers_die_is_the_note_with_how_often_and_without_a_timestamp() -> None:
    error = {"name": "consume_failed", "at": wall(), "fields": {"worker_id": 0, "error": "RuntimeError: no db"}}
    text = render(document(pool(last_error=error, restarts=2)), with_workers=False)
    assert note_of(text).endswith("  RuntimeError: no db, 2 restarts")
    long_ago = {**error, "at": wall() - 3 * 3600}
    text = render(document(pool(last_error=long_ago, restarts=1)), with_workers=False)
    assert note_of(text).endswith("  RuntimeError: no db, 1 restart (3 h ago)")


def test_the_last_error_is_the_note_in_one_line_of_bounded_length() -> None:
    error = {"name": "task_failed", "at": 0.0, "fields": {"error": "x" * 5_000, "traceback": "secret"}}
    line = note_of(render(document(pool(last_error=error)), with_workers=False))
    assert "task_failed: xxx" in line
    assert "secret" not in line
    assert len(line) < 1_100


def test_an_edition_on_trial_is_the_note() -> None:
    assert "edition 3 is on trial" in render(document(pool(edition=3)), with_workers=False)
    assert "on trial" not in render(document(pool(edition=1, established=0)), with_workers=False)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"busy_s": 12.0, "offset": 7, "shard": 3}, "offset 7 of shard 3 for 12 s"),
        ({"busy_s": 0.25, "offset": 7, "shard": 3}, "offset 7 of shard 3"),
        ({"busy_s": 2.5}, "for 2.5 s"),
        ({"state": "backing_off", "pid": None, "starts_in_s": 400.0}, "starts in 7 min"),
    ],
)
def test_a_worker_says_what_it_does_now_and_since_when(how: Plain, said: str) -> None:
    text = render(document(pool(workers=[worker(**how)])), with_workers=True)
    assert line_of(text, "0 ").endswith(said)


def test_why_a_pool_has_so_many_workers_is_the_note_where_nothing_is_more_pressing() -> None:
    reason = "8 workers wanted, 4 help: its source has 4 partitions"
    scaling = {"min": 1, "max": 8, "target_seconds": 30.0, "wanted": 8, "needed": 8, "reason": reason}
    assert "8 workers wanted, 4 help" in render(document(pool(scaling=scaling)), with_workers=False)
    assert "pinned to 5 by hand" in render(document(pool(workers_pinned=5)), with_workers=False)


def test_more_workers_than_the_source_has_partitions_are_said_to_help_nobody() -> None:
    shown = pool(workers_pinned=8, workers_wanted=8, workers_helping=4)
    text = render(document(shown), with_workers=False)
    assert note_of(text) == "  pinned to 8 by hand, 4 help: its source has 4 partitions"
    text = render(document({**shown, "workers_helping": 8}), with_workers=False)
    assert note_of(text) == "  pinned to 8 by hand"


def test_problems_come_last_one_a_line() -> None:
    text = render(document(pool(parked_now=None), problems=("gop/login: 15 of 16 workers are up",)), with_workers=False)
    assert text.splitlines()[-2:] == ["not healthy:", "  gop/login: 15 of 16 workers are up"]
    assert render(document(pool(parked_now=None)), with_workers=False).splitlines()[-1] == "healthy"


@pytest.mark.parametrize(("parked", "said"), [(1, "1 task is"), (2, "2 tasks are")])
def test_the_last_line_tells_of_parked_tasks_and_where_to_see_them(parked: int, said: str) -> None:
    text = render(
        document(pool(parked_now={"waiting": 0, "dead": parked, "age_s": 0.0}), pool(parked_now=None)),
        with_workers=False,
    )
    assert text.splitlines()[-1] == f"{said} parked: see consumerd parked list"


CAUSE = (
    "the parking store mysql+pymysql://app:***@parking-database-1.production.internal.example.com:3306/consumerd is "
    "away, and what fails stays unfinished: Access denied for user 'app'@'10.0.0.7': correct its user and password"
)


def test_a_cause_and_its_advice_are_shown_whole_and_fit_the_terminal() -> None:
    flag = {"away": "store", "since": wall(), "error": CAUSE}
    long_name = "payments-platform-production/InvoiceSettlementReminderConsumer"
    shown = document(
        pool(name=long_name, flags=[flag], state="up, paused"), pool(), problems=(f"{long_name}: {CAUSE}",)
    )
    text = render(shown, with_workers=True, width=80)
    assert max(len(line) for line in text.splitlines() if "mysql+pymysql://" not in line) <= 80
    assert " ".join(text.split()).count(" ".join(CAUSE.split())) == 1
    assert long_name in text.splitlines()
    assert CAUSE in render(shown, with_workers=False)


def test_a_moment_of_today_is_a_time_of_day_and_an_earlier_one_a_date() -> None:
    assert re.fullmatch(r"\d\d:\d\d UTC", moment(wall()))
    assert moment(3600.0) == "1970-01-01"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("A", "B"), [("long", "x"), ("y", "z")]) == ["A     B", "long  x", "y     z"]


def test_control_characters_of_a_task_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[2Jb\u202ec\ud800") == "a\\x1b[2Jb\\u202ec\\ud800"
