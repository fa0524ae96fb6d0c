"""What people ask of the store, and what they are answered."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from consumerd.clock import wall
from consumerd.errors import ConsumerdError, UsageError
from consumerd.parking.opening import open_store
from consumerd.parking.people.browsing import PAGE_ROWS, Item
from consumerd.parking.store import ParkingStore
from consumerd.verbs.parked.asking import added_up
from consumerd.verbs.parked.helper import answer, edit
from consumerd.verbs.parked.methods import (
    ParkedDiscard,
    ParkedEdit,
    ParkedErrors,
    ParkedFind,
    ParkedList,
    ParkedRetry,
    ParkedShow,
)
from contracts.parking_store import CONSUMER, OWNER, dead_task, parked_task, suspect_task


@pytest.fixture
def store(state_dir: Path) -> Iterator[ParkingStore]:
    store = open_store(None, state_dir)
    yield store
    store.close()


METHODS = {kind.verb(): kind for kind in (ParkedList, ParkedErrors, ParkedShow, ParkedFind, ParkedRetry, ParkedDiscard)}


def items(store: ParkingStore, verb: str, *, consumers: list[str] | None = None, **parameters: object) -> list[Item]:
    """The items of all pages; those of a change added up, as `consumerd parked` does."""
    asked = msgspec.convert(parameters, METHODS[verb])
    found = [item for page in answer(store, asked, None if consumers is None else tuple(consumers)) for item in page]
    return added_up(found) if verb in ("retry", "discard") else found


def changed(tasks: int, consumer: str = CONSUMER, *, is_left: bool = False) -> Item:
    return {"consumer": consumer, "tasks": tasks, "is_left": is_left}


def test_a_list_comes_in_pages_and_ends(store: ParkingStore) -> None:
    store.park([dead_task(number) for number in range(2 * PAGE_ROWS)])
    pages = list(answer(store, ParkedList()))
    assert [len(page) for page in pages] == [PAGE_ROWS, PAGE_ROWS, 0]


def test_a_list_stops_at_its_limit(store: ParkingStore) -> None:
    store.park([dead_task(number) for number in range(PAGE_ROWS + 50)])
    assert len(items(store, "list", limit=PAGE_ROWS + 20)) == PAGE_ROWS + 20


def test_show_answers_the_task_with_its_bytes(store: ParkingStore) -> None:
    store.park([dead_task(1)])
    (row,) = items(store, "list")
    (task,) = items(store, "show", reference=row["handle"])
    assert (task["payload"], task["state"], task["handle"]) == (b'{"number": 1}', "dead", row["handle"])


def test_of_some_tasks_those_are_found_that_are_parked_and_only_by_their_whole_id(store: ParkingStore) -> None:
    store.park([dead_task(1), dead_task(2), dead_task(3, "group/other")])
    ids = [dead_task(number).task_id for number in (1, 3, 4)]
    handle = items(store, "list")[0]["handle"]
    found = items(store, "find", target=CONSUMER, consumers=[CONSUMER], ids=[*ids, handle, "17"])
    assert [(task["task_id"], task["state"]) for task in found] == [(dead_task(1).task_id, "dead")]
    assert items(store, "find", target="group/gone", consumers=[CONSUMER], ids=ids) == []


def test_a_retry_answers_how_many_of_which_consumer(store: ParkingStore) -> None:
    store.park([dead_task(1), dead_task(2), dead_task(3, "group/other")])
    assert items(store, "retry", all=True, target=CONSUMER) == [changed(2)]


def test_single_tasks_are_discarded_by_handle_or_id(store: ParkingStore) -> None:
    store.park([dead_task(1), parked_task(2), dead_task(3)])
    assert items(store, "discard", references=[dead_task(1).task_id]) == [changed(1)]
    assert len(items(store, "list")) == 2


def test_a_suspect_is_no_persons_to_decide_and_that_is_said(store: ParkingStore) -> None:
    store.note_suspect(suspect_task(1, 2))
    for verb in ("retry", "discard"):
        with pytest.raises(UsageError, match="is a suspect: its source still has it"):
            items(store, verb, references=[suspect_task(1, 2).task_id])
    assert [item["crashes"] for item in items(store, "list", state="suspect")] == [2]


def test_nothing_changes_where_one_of_several_is_not_there(store: ParkingStore) -> None:
    store.park([dead_task(1)])
    with pytest.raises(UsageError, match="nothing is parked under 'nosuch'"):
        items(store, "discard", references=[dead_task(1).task_id, "nosuch"])
    assert len(items(store, "list")) == 1


def test_errors_are_counted_of_the_chosen_tasks(store: ParkingStore) -> None:
    store.park([replace(dead_task(number), error=f"ValueError: row {number}") for number in range(3)])
    store.park([dead_task(7, "group/other")])
    (alike,) = items(store, "errors", target=CONSUMER)
    assert (alike["consumer"], alike["error"], alike["tasks"]) == (CONSUMER, "ValueError: row #", 3)
    assert [each["tasks"] for each in items(store, "errors", where="number=1")] == [1]


def test_a_record_chooses_what_is_listed_and_discarded(store: ParkingStore) -> None:
    store.park([replace(dead_task(number), payload=b'{"number": %d}' % number) for number in range(3)])
    assert [row["offset"] for row in items(store, "list", where="number=1")] == [1]
    assert items(store, "discard", all=True, where="number=1") == [changed(1)]
    assert [row["offset"] for row in items(store, "list")] == [2, 0]


def test_a_retry_at_a_rate_has_all_wait_but_the_first(store: ParkingStore) -> None:
    store.park([dead_task(number) for number in range(3)])
    assert items(store, "retry", all=True, rate=0.01) == [changed(3)]
    assert len(store.due(CONSUMER, 10)[0]) == 1


def test_a_retry_at_a_rate_puts_nothing_off_that_is_due_sooner(store: ParkingStore) -> None:
    def due_of(numbers: range) -> dict[int, float]:
        return {number: store.find(parked_task(number).task_id, None)[0].due_at or 0.0 for number in numbers}

    soon, late = wall() + 30, wall() + 1e6
    store.park([dead_task(number) for number in range(4)])
    store.park([replace(parked_task(number), due_at=soon + number) for number in range(4, 8)])
    store.park([replace(parked_task(number), due_at=late) for number in range(8, 12)])
    was = due_of(range(4, 8))
    assert items(store, "retry", all=True, rate=0.001) == [changed(12)]
    due = due_of(range(4, 12))
    assert all(due[number] < was[number] + 1 for number in range(4, 8)), "but for what its clock is not exact by"
    assert all(due[number] < late for number in range(8, 12))


@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize("arguments", [{}, {"state": "dead"}, {"references": ["abcd"], "all": True}])
def test_everything_is_meant_only_by_all(store: ParkingStore, verb: str, arguments: dict[str, object]) -> None:
    store.park([dead_task(1)])
    with pytest.raises(UsageError, match="either references, or all"):
        items(store, verb, **arguments)


@pytest.mark.parametrize(
    ("verb", "arguments", "complaint"),
    [
        ("list", {"state": "undead"}, "parked as 'undead'"),
        ("show", {"reference": "abcdef"}, "nothing is parked"),
        ("show", {"reference": "xyz"}, "nothing is parked"),
        ("show", {"reference": "3f"}, "^'3f' is too short: write at least 4 characters$"),
        ("retry", {"references": ["3F"]}, "^'3F' is too short"),
        ("list", {"where": "number"}, r"^'number' is no condition on a record: write it as user\.id=5"),
        ("retry", {"all": True, "rate": 0}, "^nothing can be retried at a rate of 0 a second"),
        ("retry", {"all": True, "rate": float("inf")}, "at a rate of inf a second"),
    ],
)
def test_what_makes_no_sense_is_refused(
    store: ParkingStore, verb: str, arguments: dict[str, object], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        items(store, verb, **arguments)


def test_an_ambiguous_id_is_refused(store: ParkingStore) -> None:
    store.park([dead_task(1), dead_task(1, "group/other")])
    with pytest.raises(UsageError, match="several parked tasks"):
        items(store, "retry", references=[dead_task(1).task_id])


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_all_means_the_tasks_of_the_consumers_of_whoever_asks_and_says_what_is_left(
    store: ParkingStore, verb: str
) -> None:
    store.park([dead_task(1), dead_task(2), dead_task(3, "group/others"), dead_task(4, "billing/others")])
    left = [changed(1, "billing/others", is_left=True), changed(1, "group/others", is_left=True)]
    assert items(store, verb, all=True, consumers=[CONSUMER]) == [changed(2), *left]
    assert [store.parked_count(name)[1] for name in (CONSUMER, "group/others", "billing/others")] == [0, 1, 1]


def test_a_group_means_our_part_of_it_and_a_full_name_anybodys_tasks(store: ParkingStore) -> None:
    store.park([dead_task(1), dead_task(3, "group/others"), dead_task(4, "billing/others")])
    assert items(store, "discard", all=True, target="group", consumers=[CONSUMER]) == [
        changed(1),
        changed(1, "group/others", is_left=True),
    ]
    for target in ("group/others", "billing"):
        (item,) = items(store, "discard", all=True, target=target, consumers=[CONSUMER])
        assert item["tasks"] == 1
    assert items(store, "list") == []


def test_who_runs_no_consumer_reaches_nobodys_tasks_without_a_name(store: ParkingStore) -> None:
    store.park([dead_task(1)])
    assert items(store, "discard", all=True, consumers=[]) == [changed(1, is_left=True)]


def test_a_handle_of_anothers_task_needs_a_name(store: ParkingStore) -> None:
    store.park([dead_task(1, "group/others")])
    reference = dead_task(1).task_id
    with pytest.raises(UsageError, match="is a task of group/others, which is not run here: add --target group/others"):
        items(store, "discard", references=[reference], consumers=[CONSUMER])
    store.park([dead_task(1)])
    assert items(store, "discard", references=[reference], consumers=[CONSUMER]) == [changed(1)]
    assert items(store, "discard", references=[reference], consumers=[CONSUMER], target="group/others")


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_a_dry_run_counts_and_changes_nothing(store: ParkingStore, verb: str) -> None:
    store.park([dead_task(1), dead_task(2)])
    before = items(store, "list")
    assert items(store, verb, all=True, dry_run=True, consumers=[CONSUMER]) == [changed(2)]
    assert items(store, verb, references=[dead_task(1).task_id], dry_run=True) == [changed(1)]
    assert items(store, "list") == before


def test_the_same_filters_narrow_down_a_list_and_a_change(store: ParkingStore) -> None:
    store.park([dead_task(1), replace(dead_task(2), error="TimeoutError: the bank is silent")])
    narrowed = {"error": "timeouterror", "since": dead_task(2).last_at, "until": dead_task(3).last_at, "text": "bank"}
    assert [item["task_id"] for item in items(store, "list", **narrowed)] == [dead_task(2).task_id]
    assert items(store, "discard", all=True, **narrowed) == [changed(1)]
    assert [item["task_id"] for item in items(store, "list")] == [dead_task(1).task_id]


def test_a_task_is_given_another_record_and_what_it_was_is_kept(store: ParkingStore, state_dir: Path) -> None:
    store.park([replace(dead_task(1), payload=b"\xff")])
    log = state_dir / "edited.log"
    asked = ParkedEdit(reference=dead_task(1).task_id, record='{"name": "Köln"}')
    handle = edit(store, msgspec.structs.replace(asked, dry_run=True), log)["handle"]
    assert not log.exists()
    assert edit(store, asked, log) == {"consumer": CONSUMER, "handle": handle}
    assert store.find(str(handle))[0].payload == '{"name": "Köln"}'.encode()
    (kept,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert (kept["task"], base64.b64decode(kept["payload_base64"])) == (dead_task(1).task_id, b"\xff")
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("number", "record", "complaint"),
    [
        (1, "{", "the new record is not JSON, which group/consumer reads"),
        (1, "", "is not JSON"),
        (1, None, "there is no new record: write it with --record"),
        (2, "{}", "a worker has 'topic:uuid:0:2' at this moment"),
        (3, "{}", "is a suspect: its source still has it"),
        (4, "{}", "nothing is parked under"),
    ],
)
def test_a_record_that_is_not_to_be_replaced_stays(
    store: ParkingStore, state_dir: Path, number: int, record: str | None, complaint: str
) -> None:
    store.park([dead_task(1), parked_task(2)])
    store.claim_due(CONSUMER, 1, OWNER)
    store.note_suspect(suspect_task(3, 1))
    with pytest.raises(UsageError, match=complaint):
        edit(store, ParkedEdit(reference=parked_task(number).task_id, record=record), state_dir / "edited.log")
    assert not (state_dir / "edited.log").exists()


def test_what_a_record_was_is_on_the_disk_before_it_changes(
    store: ParkingStore, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.park([dead_task(1)])
    log, sizes = state_dir / "edited.log", []
    monkeypatch.setattr("consumerd.verbs.parked.helper.os.fsync", lambda _: sizes.append(log.stat().st_size))
    edit(store, ParkedEdit(reference=dead_task(1).task_id, record="{}"), log)
    assert sizes[0] == log.stat().st_size > 0


def test_where_what_was_cannot_be_kept_the_record_stays(store: ParkingStore, state_dir: Path) -> None:
    store.park([dead_task(1)])
    with pytest.raises(ConsumerdError, match="so it stays: the system refuses it"):
        edit(store, ParkedEdit(reference=dead_task(1).task_id, record="{}"), state_dir / "gone" / "edited.log")
    assert store.find(dead_task(1).task_id)[0].payload == dead_task(1).payload


def test_who_means_nobody_is_told_whom_there_is(store: ParkingStore) -> None:
    with pytest.raises(UsageError, match=r"no consumer or group 'grup': there is g/a$"):
        items(store, "list", consumers=["g/a"], target="grup")
    with pytest.raises(UsageError, match=r"no consumer or group 'grup': there are g/a, g/b$"):
        items(store, "list", consumers=["g/a", "g/b"], target="grup")
