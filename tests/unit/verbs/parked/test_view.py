"""Parked tasks for people's eyes."""

from __future__ import annotations

from dataclasses import asdict, replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from consumerd.clock import wall
from consumerd.model.parked import ParkedTask
from consumerd.model.task import TaskId
from consumerd.verbs.parked.view import (
    LONGEST_TEXT,
    contents,
    dump,
    render_changed,
    render_errors,
    render_list,
    render_nothing,
    render_queries,
    render_suspects,
    render_task,
)
from contracts.parking_store import dead_task, parked_task
from unit.doctor.test_findings import POOL


def item(task: ParkedTask) -> dict[str, object]:
    return asdict(task) | {"handle": "0123456789", "state": task.state.value, "is_claimed": False}


@given(st.text(st.characters(min_codepoint=0), max_size=50), st.binary(max_size=50))
def test_nothing_that_came_from_outside_steers_the_terminal(text: str, content: bytes) -> None:
    task = replace(dead_task(), error=text, traceback=text, payload=content, key=content, headers=((text, content),))
    lines = [*render_task(item(task)), *render_list([item(task)])]
    for line in lines:
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line)
        line.encode("utf-8")


def test_a_task_is_shown_with_all_that_is_known_of_it() -> None:
    task = replace(parked_task(7), headers=(("trace", b"abc"), ("none", None)), key=b"\xff")
    text = "\n".join(render_task(item(task)))
    for part in (
        "waiting",
        "topic:uuid:0:7",
        "shard 0, position 7",
        "ValueError: no",
        "trace = abc",
        "none = (none)",
        "ff",
    ):
        assert part in text
    assert '  {"number": 7}' in text


def test_bytes_are_dumped_sixteen_a_line() -> None:
    assert list(dump(bytes(range(60, 80)))) == [
        "  00000000  3c 3d 3e 3f 40 41 42 43 44 45 46 47 48 49 4a 4b  <=>?@ABCDEFGHIJK",
        "  00000010  4c 4d 4e 4f                                      LMNO",
    ]


def test_a_long_text_is_cut_and_says_how_the_rest_is_had() -> None:
    lines = contents(b"x" * (LONGEST_TEXT + 1))
    assert "--raw" in lines[-1]
    assert sum(map(len, lines)) < LONGEST_TEXT + 200


def test_the_lines_of_a_text_stay_lines() -> None:
    assert contents(b"a\nb") == ["  a", "  b"]


def test_a_list_fits_a_terminal_of_80_columns() -> None:
    long = "topic_of_invoices:5uXpQ2rWT9aJk3mLQ0aZxg:17:" + "9" * 30
    task = replace(parked_task(), task_id=TaskId(long), due_at=wall() + 400, error="ValueError: " + "x" * 300)
    lines = render_list([item(task), item(dead_task(1))], width=80)
    assert max(map(len, lines)) <= 80
    assert lines[2].startswith("  topic_of_invoices:5uXpQ2rWT9aJk3mLQ0aZxg:17:999")
    assert lines[3].startswith("  ValueError: xxx")
    assert lines[5] == "  topic:uuid:0:1  ValueError: no"
    assert lines[1].endswith("in 7 min  group/consumer")
    named = replace(task, consumer="payments-platform/InvoiceSettlementReminderConsumer", task_id=TaskId(long * 3))
    lines = render_list([item(named)], width=80)
    assert max(map(len, lines)) <= 80
    assert lines[2] == "  payments-platform/InvoiceSettlementReminderConsumer"
    assert lines[3].endswith("…" + (long * 3)[-39:])


def test_errors_are_shown_with_how_many_failed_alike() -> None:
    now = wall()
    times = {"first_at": now - 7_200, "last_at": now - 60}
    named = {"consumer": "group/consumer", "error": "KeyError: 'a_#\x1b'", "tasks": 312, "handle": "0123456789"}
    heading, line, error = render_errors([named | times])
    assert heading.split() == ["TASKS", "FIRST", "LAST", "HANDLE", "CONSUMER"]
    assert line.split() == ["312", "2", "h", "ago", "60", "s", "ago", "0123456789", "group/consumer"]
    assert error == r"  KeyError: 'a_#\x1b'"


def test_after_a_discard_it_is_said_whose_rows_may_come_again() -> None:
    items = [
        {"consumer": name, "tasks": 2, "is_left": name == "shop/left"} for name in ("shop/a", "shop/b", "shop/left")
    ]
    (said,) = render_queries(items, {"shop/b", "shop/left"})
    assert said.startswith("shop/b: a row that its query still returns comes again as a new task: mark it where it is")


def test_a_retry_at_a_rate_says_when_the_last_task_is_due() -> None:
    items = [{"consumer": "group/consumer", "tasks": 301, "is_left": False}]
    done, last = render_changed("retry", items, is_dry=False, rate=50.0)
    assert done == "group/consumer: 301 due at 50/s"
    assert last.startswith("the last of 301 is due in 6.0 s, at 20")
    assert render_changed("retry", items, is_dry=True, rate=1 / 60)[0] == "group/consumer: 301 would be due at 1/min"
    (_, far) = render_changed("retry", [items[0] | {"tasks": 10**9}], is_dry=False, rate=1 / 86_400)
    assert far.endswith("at 9999-12-31T23:59:59.000Z")
    assert render_changed("retry", [], is_dry=False, rate=1.0) == ["nothing is parked there"]


def test_that_a_filter_matched_none_is_not_said_as_if_nothing_were_parked() -> None:
    assert render_nothing({"state": None, "error": None, "where": ()}) == "nothing is parked"
    assert render_nothing({"state": None, "error": "KeyError", "where": ()}) == "no parked task is like that"


def test_suspects_that_only_the_master_knows_are_said_where_none_is_listed() -> None:
    pools = [msgspec.structs.replace(POOL, suspects=suspects) for suspects in (0, 1, 2)]
    listed = "listed when it runs again after a death that counts: see consumerd explain shop/mails"
    for target in (None, "shop", "shop/mails"):
        assert list(render_suspects(pools, target)) == [
            f"shop/mails: the master knows 1 suspect, which is {listed}",
            f"shop/mails: the master knows 2 suspects, each of which is {listed}",
        ]
    assert list(render_suspects(pools, "shop/others")) == []
