"""What the parking store must do on every database, as tests: subclass `ParkingStoreContract`, give it a `Place`.

class TestMyDatabase(ParkingStoreContract):
    @pytest.fixture
    def place(self) -> Iterator[Place]: ...
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
from sqlalchemy import Connection

from consumerd.clock import wall
from consumerd.database.claims import Lease
from consumerd.errors import UsageError
from consumerd.model.division import Division, Member, divided, fair_part, reduced
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.suspects import Suspect
from consumerd.model.task import TaskId
from consumerd.parking import parked
from consumerd.parking.people import browsing, errors, looking_into
from consumerd.parking.people.browsing import EVERY, Item, ParkedFilter
from consumerd.parking.people.deciding import FIRST_ROWS
from consumerd.parking.people.json_path import Where
from consumerd.parking.store import ParkingStore

Place = Callable[[], ParkingStore]
"""Opens one more store on the same database, which was empty when the test began."""

CONSUMER = "group/consumer"
OWNER = Lease("0123.group.consumer.0#1", 60.0)
OTHER = Lease("0123.group.consumer.1#1", 60.0)
LAPSED = Lease("0123.group.consumer.0#1", -1.0)
"""A lease that has run out as soon as it is taken: no test waits for one."""
LARGEST_PAYLOAD_BYTES = 16 * 1024 * 1024
OPENERS = 8


def parked_task(number: int = 0, consumer: str = CONSUMER) -> ParkedTask:
    """A task that is due."""
    return ParkedTask(
        consumer=consumer,
        task_id=TaskId(f"topic:uuid:0:{number}"),
        source="topic:uuid",
        shard=0,
        position=number,
        offset=number,
        state=ParkedState.WAITING,
        due_at=wall() - 10_000 + number,
        attempts=3,
        first_at=1_700_000_000.125,
        last_at=1_700_000_100.25 + number,
        error="ValueError: no",
        traceback="Traceback\n  line",
        payload=b'{"number": %d}' % number,
    )


def dead_task(number: int = 0, consumer: str = CONSUMER) -> ParkedTask:
    """A task that waits for a person."""
    return replace(parked_task(number, consumer), state=ParkedState.DEAD, due_at=None)


def suspect_task(number: int, crashes: int, consumer: str = CONSUMER) -> ParkedTask:
    """What a worker keeps of a task before it runs it again."""
    ends = f"{crashes} × SIGSEGV"
    task = replace(dead_task(number, consumer), state=ParkedState.SUSPECT)
    return replace(
        task,
        crashes=crashes,
        error=ends,
        traceback=f"stacks {crashes}",
        last_at=wall(),
        payload=b"",
        key=None,
        headers=(),
    )


def total(steps: Iterable[dict[str, int]]) -> dict[str, int]:
    """What all steps of a change did together."""
    counted: Counter[str] = Counter()
    for changed in steps:
        counted.update(changed)
    return dict(counted)


class ParkingStoreContract:
    """The suite."""

    @pytest.fixture
    def store(self, place: Place) -> Iterator[ParkingStore]:
        store = place()
        yield store
        store.close()

    # Parking

    @pytest.mark.parametrize(
        "payload",
        [b"", b"\0", bytes(range(256)), b"\xff\xfe'\"\\%s%(x)s\n", b"\0'\\\xff" * (LARGEST_PAYLOAD_BYTES // 4)],
        ids=["empty", "nul", "every byte", "quotes", "16 MiB"],
    )
    def test_a_payload_comes_back_byte_for_byte(self, store: ParkingStore, payload: bytes) -> None:
        task = replace(
            parked_task(), payload=payload, key=payload[:1000], headers=(("h", payload[:99]), ("none", None))
        )
        store.park([task])
        (claimed,) = store.claim_due(CONSUMER, 10, OWNER)
        assert (claimed.payload, claimed.key, claimed.headers) == (task.payload, task.key, task.headers)

    @pytest.mark.parametrize("text", ["", "ü 漢 🜚", "a\0b", "\udc80 lone", "back\\slash \\0 \\u0041", "x" * 5_000])
    def test_any_text_can_be_an_id_and_comes_back(self, store: ParkingStore, text: str) -> None:
        task = replace(
            parked_task(), task_id=TaskId(text), source=text[:100], error=text[:1000], traceback=text, log=text
        )
        store.park([task])
        (claimed,) = store.claim_due(CONSUMER, 10, OWNER)
        assert (claimed.task_id, claimed.source) == (task.task_id, task.source)
        assert (claimed.error, claimed.traceback, claimed.log) == (task.error, task.traceback, task.log)
        assert set(store.entries_among(CONSUMER, [task.task_id])) == {task.task_id}

    def test_a_task_comes_back_as_it_was(self, store: ParkingStore) -> None:
        task = replace(dead_task(), position=2**62, offset=2**62 + 1, shard=70_000, crashes=2, attempts=10**9)
        store.park([task])
        (found,) = store.find(task.task_id)
        assert found == task

    def test_ids_that_differ_in_case_or_trailing_space_are_different_tasks(self, store: ParkingStore) -> None:
        ids = [TaskId(text) for text in ("a", "A", "a ", "ä", "a\0")]
        store.park([replace(parked_task(), task_id=task_id) for task_id in ids])
        assert store.parked_count(CONSUMER)[0] == len(ids)
        assert set(store.entries_among(CONSUMER, ids)) == set(ids)

    def test_parking_a_task_again_replaces_its_row_and_voids_its_lease(self, store: ParkingStore) -> None:
        store.park([replace(parked_task(), payload=b"x" * 3_000_000)])
        assert store.claim_due(CONSUMER, 1, OWNER)
        store.park([replace(parked_task(), attempts=4, payload=b"small")])
        (claimed,) = store.claim_due(CONSUMER, 1, OTHER)
        assert (claimed.attempts, claimed.payload) == (4, b"small")

    def test_a_task_that_stands_twice_in_one_call_is_kept_as_it_stood_last(self, store: ParkingStore) -> None:
        store.park([parked_task(), replace(parked_task(), attempts=9)])
        assert [task.attempts for task in store.claim_due(CONSUMER, 10, OWNER)] == [9]

    def test_parking_nothing_is_no_error(self, store: ParkingStore) -> None:
        store.park([])
        assert rows(store) == []

    # Claiming

    def test_due_tasks_are_claimed_longest_due_first_and_by_one_owner(self, store: ParkingStore) -> None:
        store.park([parked_task(number) for number in (5, 1, 3)])
        assert [task.offset for task in store.claim_due(CONSUMER, 2, OWNER)] == [1, 3]
        assert [task.offset for task in store.claim_due(CONSUMER, 2, OTHER)] == [5]
        assert store.claim_due(CONSUMER, 2, OTHER) == ()

    def test_neither_dead_tasks_nor_later_ones_nor_other_consumers_are_claimed(self, store: ParkingStore) -> None:
        later = replace(parked_task(2), due_at=wall() + 1_000)
        suspect = replace(parked_task(3), state=ParkedState.SUSPECT)
        store.park([dead_task(1), later, suspect, parked_task(4, "group/other")])
        assert store.claim_due(CONSUMER, 10, OWNER) == ()

    def test_a_lease_that_ran_out_is_anybodys(self, store: ParkingStore) -> None:
        store.park([parked_task()])
        assert len(store.claim_due(CONSUMER, 1, LAPSED)) == 1
        assert len(store.claim_due(CONSUMER, 1, OTHER)) == 1

    def test_who_lost_its_lease_finishes_nothing_and_writes_nothing(self, store: ParkingStore) -> None:
        store.park([parked_task()])
        store.claim_due(CONSUMER, 1, LAPSED)
        (task,) = store.claim_due(CONSUMER, 1, OTHER)
        assert not store.finish(CONSUMER, task.task_id, OWNER.owner)
        assert not store.park_again(replace(task, attempts=99), OWNER.owner)
        assert store.park_again(replace(task, attempts=4, due_at=wall() - 1), OTHER.owner)
        assert [claimed.attempts for claimed in store.claim_due(CONSUMER, 1, OWNER)] == [4]

    def test_a_finished_task_is_gone_with_all_its_parts(self, store: ParkingStore) -> None:
        store.park([replace(parked_task(), payload=b"x" * 3_000_000)])
        (task,) = store.claim_due(CONSUMER, 1, OWNER)
        assert store.finish(CONSUMER, task.task_id, OWNER.owner)
        assert rows(store) == []
        store.park([replace(parked_task(), payload=b"y" * 3_000_000)])
        assert store.claim_due(CONSUMER, 1, OWNER)[0].payload == b"y" * 3_000_000

    def test_renewing_prolongs_all_claims_of_the_owner(self, store: ParkingStore) -> None:
        store.park([parked_task(1), parked_task(2)])
        store.claim_due(CONSUMER, 2, LAPSED)
        assert store.renew(OWNER) == 2
        assert store.claim_due(CONSUMER, 2, OTHER) == ()

    def test_releasing_a_slots_claims_leaves_those_of_other_slots(self, store: ParkingStore) -> None:
        store.park([parked_task(1), parked_task(2)])
        store.claim_due(CONSUMER, 1, OWNER)
        store.claim_due(CONSUMER, 1, Lease("0123.group.consumer.01#1", 60.0))
        assert store.release("0123.group.consumer.0#") == 1
        assert [task.offset for task in store.claim_due(CONSUMER, 2, OTHER)] == [1]

    def test_claims_on_single_tasks_can_be_released(self, store: ParkingStore) -> None:
        store.park([parked_task(1), parked_task(2)])
        claimed = store.claim_due(CONSUMER, 2, OWNER)
        store.release_tasks(claimed[:1], OWNER.owner)
        assert [task.offset for task in store.claim_due(CONSUMER, 2, OTHER)] == [1]

    def test_the_next_due_task_is_as_far_as_its_time_or_its_lease(self, store: ParkingStore) -> None:
        assert store.next_due(CONSUMER) is None
        store.park([dead_task(1), replace(parked_task(2), due_at=wall() + 1_000)])
        assert 900 < (store.next_due(CONSUMER) or 0) <= 1_000
        store.park([parked_task(3)])
        assert store.next_due(CONSUMER) == 0
        store.claim_due(CONSUMER, 1, OWNER)
        assert 50 < (store.next_due(CONSUMER) or 0) <= 60

    # What is parked

    def test_parked_are_waiting_and_dead_tasks_but_no_suspects(self, store: ParkingStore) -> None:
        suspect = replace(parked_task(3), state=ParkedState.SUSPECT)
        later = replace(parked_task(5), due_at=wall() + 1_000)
        store.park([parked_task(1), dead_task(2), suspect, dead_task(4, "group/other"), later])
        ids = [parked_task(number).task_id for number in range(6)]
        assert set(store.entries_among(CONSUMER, ids)) == {ids[1], ids[2], ids[5]}
        assert set(store.entries_among(CONSUMER, [])) == frozenset()
        assert store.parked_of(CONSUMER) == {ids[2], ids[5]}, "what is due is left out of no query"

    # For sources that take up their parked tasks themselves

    def test_an_entry_says_what_became_of_a_task_and_whether_it_is_due(self, store: ParkingStore) -> None:
        due, dead, later = parked_task(1), dead_task(2), replace(parked_task(3), due_at=wall() + 1_000)
        store.park([due, dead, later])
        ids = [due.task_id, dead.task_id, later.task_id]
        entries = store.entries_among(CONSUMER, ids)
        assert [(entries[task_id].state, entries[task_id].is_due) for task_id in ids] == [
            (ParkedState.WAITING, True),
            (ParkedState.DEAD, False),
            (ParkedState.WAITING, False),
        ]
        assert entries[due.task_id].attempts == due.attempts
        assert entries[dead.task_id].last_at == dead.last_at

    def test_what_is_due_is_had_without_a_claim(self, store: ParkingStore) -> None:
        assert store.due(CONSUMER, 10) == ((), False)
        later = replace(parked_task(3), due_at=wall() + 1_000)
        store.park([later, dead_task(4)])
        assert store.due(CONSUMER, 10) == ((), True)
        store.park([parked_task(2), parked_task(1)])
        for _ in range(2):
            tasks, _ = store.due(CONSUMER, 1)
            assert [task.task_id for task in tasks] == [parked_task(1).task_id]

    def test_what_is_due_is_gone_through_page_by_page(self, store: ParkingStore) -> None:
        at = wall() - 100
        store.park([replace(parked_task(number), due_at=at + number // 6) for number in range(24)])
        found, page = list[TaskId](), store.due(CONSUMER, 5)[0]
        while page:
            found += [task.task_id for task in page]
            page, is_waited_for = store.due(CONSUMER, 5, page[-1])
            assert is_waited_for
        assert sorted(found) == sorted(parked_task(number).task_id for number in range(24))
        assert set(found[:6]) == {parked_task(number).task_id for number in range(6)}, "the longest due come first"

    def test_those_that_are_due_are_had_whole(self, store: ParkingStore) -> None:
        due, bare = replace(parked_task(2), payload=b"x" * 3_000_000), replace(parked_task(1), payload=b"")
        later = replace(parked_task(3), due_at=wall() + 1_000)
        store.park([due, bare, later, dead_task(4)])
        assert [task.has_copy for task in store.due(CONSUMER, 10)[0]] == [False, True]
        tasks = store.due_among(CONSUMER, [parked_task(number).task_id for number in (4, 3, 2, 1, 9)])
        assert [(task.task_id, task.payload) for task in tasks] == [(due.task_id, due.payload), (bare.task_id, b"")]

    @pytest.mark.parametrize("size", [10, 3_000_000])
    def test_the_payload_of_what_waits_can_be_dropped(self, store: ParkingStore, size: int) -> None:
        waiting = replace(parked_task(1), due_at=wall() + 1_000, payload=b"x" * size)
        dead, due = replace(dead_task(2), payload=b"y" * size), parked_task(3)
        store.park([waiting, dead, due])
        store.drop_copies(CONSUMER)
        assert store.copy_of(CONSUMER, waiting.task_id) == b""
        assert store.copy_of(CONSUMER, dead.task_id) == dead.payload
        assert store.copy_of(CONSUMER, due.task_id) == due.payload
        assert store.copy_of(CONSUMER, parked_task(9).task_id) == b""
        store.park([replace(waiting, attempts=9, payload=b"new")])
        assert store.entries_among(CONSUMER, [waiting.task_id])[waiting.task_id].attempts == 9
        assert store.parked_count(CONSUMER) == (2, 1), "one that waits without a payload is no other task"

    @pytest.mark.parametrize("size", [10, 3_000_000])
    def test_a_dead_task_can_be_opened_again_as_if_it_had_never_been_tried(
        self, store: ParkingStore, size: int
    ) -> None:
        dead = replace(dead_task(1), payload=b"x" * size, crashes=2)
        store.park([dead])
        store.reopen(CONSUMER, dead.task_id)
        (found,) = store.due_among(CONSUMER, [dead.task_id])
        assert (found.attempts, found.crashes, found.payload) == (0, 0, b"")
        store.park([replace(dead, attempts=1)])
        assert store.parked_count(CONSUMER) == (0, 1)

    def test_a_division_is_given_the_clock_of_the_database(self, store: ParkingStore) -> None:
        times: list[float] = []

        def note(before: Division, now: float) -> Division:
            times.append(now)
            return before

        store.divide(CONSUMER, note)
        assert times == [pytest.approx(wall(), abs=60)]

    def test_what_is_forgotten_is_parked_no_more(self, store: ParkingStore) -> None:
        store.park([replace(parked_task(1), payload=b"x" * 3_000_000), dead_task(2), dead_task(3)])
        store.forget(CONSUMER, [parked_task(1).task_id, dead_task(2).task_id])
        assert store.parked_count(CONSUMER) == (0, 1)

    def test_more_ids_can_be_asked_for_than_a_statement_takes_parameters(self, store: ParkingStore) -> None:
        store.park([dead_task(number) for number in range(0, 12_000, 4_000)])
        ids = [parked_task(number).task_id for number in range(12_000)]
        steps: list[None] = []
        store.on_step = lambda: steps.append(None)
        assert set(store.entries_among(CONSUMER, ids)) == {ids[0], ids[4_000], ids[8_000]}
        assert len(steps) == 3

    def test_more_can_be_parked_than_are_read_in_one_step(
        self, store: ParkingStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parked, "IDS_A_PAGE", 7)
        store.park([replace(dead_task(number), position=number // 10) for number in range(30)])
        ids = [parked_task(number).task_id for number in range(30)]
        assert store.parked_of(CONSUMER) == set(ids)
        assert store.parked_from(CONSUMER, "topic:uuid", 0, 1) == set(ids[10:])

    def test_the_parked_of_a_shard_are_those_from_a_position_on(self, store: ParkingStore) -> None:
        store.park([dead_task(1), parked_task(5), dead_task(9)])
        store.park([replace(dead_task(10), shard=1), replace(dead_task(11), source="other")])
        ids = [parked_task(number).task_id for number in range(10)]
        assert store.parked_from(CONSUMER, "topic:uuid", 0, 5) == {ids[5], ids[9]}

    # Suspects

    def test_a_suspect_keeps_the_most_crashes_that_are_known_and_is_not_parked(self, store: ParkingStore) -> None:
        for crashes in (1, 2, 1):
            store.note_suspect(suspect_task(1, crashes))
        store.note_suspect(suspect_task(2, 1, "group/other"))
        assert store.suspects_of(CONSUMER) == (Suspect(parked_task(1).task_id, 2, "2 × SIGSEGV", "stacks 2"),)
        assert store.parked_of(CONSUMER) == frozenset()

    def test_the_crashes_of_a_parked_task_change_nothing_else_of_it(self, store: ParkingStore) -> None:
        task = replace(parked_task(1), payload=b"x" * 3_000_000)
        store.park([task, dead_task(2)])
        (claimed,) = store.claim_due(CONSUMER, 1, OWNER)
        store.note_suspect(suspect_task(1, 2))
        store.note_suspect(suspect_task(2, 1))
        assert store.suspects_of(CONSUMER) == ()
        assert store.renew(OWNER) == 1
        store.release_tasks([claimed], OWNER.owner)
        (again,) = store.claim_due(CONSUMER, 10, OTHER)
        assert (again.crashes, again.error, again.payload) == (2, "2 × SIGSEGV", task.payload)
        store.clear_suspects(CONSUMER, [parked_task(1).task_id, parked_task(2).task_id])
        assert store.parked_count(CONSUMER) == (1, 1)

    def test_a_suspect_that_is_cleared_is_gone_and_one_that_is_parked_no_suspect(self, store: ParkingStore) -> None:
        for number in (1, 2, 3):
            store.note_suspect(suspect_task(number, 1))
        store.clear_suspects(CONSUMER, [parked_task(1).task_id, TaskId("nobody's")])
        store.park([replace(dead_task(2), crashes=3)])
        assert [suspect.task_id for suspect in store.suspects_of(CONSUMER)] == [parked_task(3).task_id]

    def test_a_suspect_that_nobody_met_for_a_week_is_none_and_goes_with_the_next_that_is_cleared(
        self, store: ParkingStore
    ) -> None:
        store.note_suspect(replace(suspect_task(1, 1), last_at=wall() - 8 * 24 * 3600))
        store.note_suspect(suspect_task(2, 1))
        assert [suspect.task_id for suspect in store.suspects_of(CONSUMER)] == [suspect_task(2, 1).task_id]
        store.clear_suspects(CONSUMER, [suspect_task(2, 1).task_id])
        assert rows(store) == []

    def test_suspects_are_listed_and_nobody_retries_or_discards_them(self, store: ParkingStore) -> None:
        store.note_suspect(suspect_task(1, 2))
        store.park([replace(dead_task(2), crashes=3)])
        keys = store.keys_of(suspect_task(1, 1).task_id)
        assert total(store.retry(keys=keys)) == total(store.discard(keys=keys)) == {}
        assert total(store.retry()) == {CONSUMER: 1}
        assert {(row["offset"], row["state"], row["crashes"]) for row in rows(store)} == {
            (1, ParkedState.SUSPECT, 2),
            (2, ParkedState.WAITING, 0),
        }
        assert total(store.discard()) == {CONSUMER: 1}
        assert [row["offset"] for row in rows(store, ParkedFilter(state=ParkedState.SUSPECT))] == [1]

    # People

    def test_a_list_is_read_page_by_page_newest_failure_first(
        self, store: ParkingStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(browsing, "PAGE_ROWS", 4)
        store.park([replace(dead_task(number), last_at=float(number // 3)) for number in range(10)])
        seen = [row["task_id"] for row in rows(store)]
        assert len(seen) == len(set(seen)) == 10
        assert seen[0] == dead_task(9).task_id
        assert [len(page) for page in store.list(limit=9)] == [4, 4, 1]

    def test_a_list_looks_at_so_many_rows_for_a_page_and_goes_on_with_the_next(
        self, store: ParkingStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(browsing, "ROWS_LOOKED_AT", 4)
        monkeypatch.setattr(browsing, "PAGE_ROWS", 2)
        odd = {0, 9, 10}
        store.park([replace(dead_task(number), error="odd" if number in odd else "even") for number in range(12)])
        pages = list(store.list(ParkedFilter(error="odd")))
        assert [row["offset"] for page in pages for row in page] == [10, 9, 0]
        assert len(pages) == 3

    def test_a_list_is_narrowed_by_group_consumer_and_state(self, store: ParkingStore) -> None:
        store.park([parked_task(1), dead_task(2), dead_task(3, "group/other"), dead_task(4, "groups/consumer")])

        def offsets(chosen: ParkedFilter) -> set[int]:
            return {row["offset"] for row in rows(store, chosen)}

        assert offsets(ParkedFilter("group")) == {1, 2, 3}
        assert offsets(ParkedFilter(CONSUMER)) == {1, 2}
        assert offsets(ParkedFilter("group", ParkedState.DEAD)) == {2, 3}
        assert offsets(ParkedFilter(state=ParkedState.WAITING)) == {1}

    def test_a_task_is_found_by_its_handle_the_start_of_it_and_its_id(self, store: ParkingStore) -> None:
        store.park([parked_task(number) for number in range(3)])
        row = rows(store)[0]
        handle, task_id = str(row["handle"]), str(row["task_id"])
        for reference in (handle, handle[:6], handle.upper(), task_id):
            assert [found.task_id for found in store.find(reference)] == [task_id]
        assert store.find("nothing") == ()
        assert store.find(handle, "other") == ()

    def test_an_id_of_several_consumers_is_not_unique_until_one_is_named(self, store: ParkingStore) -> None:
        store.park([dead_task(1), dead_task(1, "group/other")])
        assert len(store.find(dead_task(1).task_id)) == 2
        assert len(store.find(dead_task(1).task_id, "group/other")) == 1

    @pytest.mark.parametrize(
        ("chosen", "numbers"),
        [
            (ParkedFilter(error="valueerror"), {0, 1}),
            (ParkedFilter(error="100%_\\\x00"), {2}),
            (ParkedFilter(error="%"), {2}),
            (ParkedFilter(text="topic:uuid:0:1"), {1}),
            (ParkedFilter(text="in_handler"), {2}),
            (ParkedFilter(text="köln\x00"), {0}),
            (ParkedFilter(text="needle"), {1}),
            (ParkedFilter(text="nowhere"), set()),
            (ParkedFilter(since=dead_task(1).last_at), {1, 2}),
            (ParkedFilter(until=dead_task(1).last_at), {0}),
            (ParkedFilter(consumers=(CONSUMER,)), {0, 1, 2}),
            (ParkedFilter(consumers=()), set()),
        ],
    )
    def test_tasks_are_chosen_by_error_text_time_and_consumer(
        self, store: ParkingStore, chosen: ParkedFilter, numbers: set[int]
    ) -> None:
        large = b" " * LARGEST_PAYLOAD_BYTES + b"needle"
        strange = replace(dead_task(2), error="OSError: 100%_\\\x00", traceback="File x, in in_handler")
        store.park(
            [replace(dead_task(0), payload="Köln köln\0".encode()), replace(dead_task(1), payload=large), strange]
        )
        assert {row["position"] for row in rows(store, chosen)} == numbers
        assert sum(total(store.count(chosen)).values()) == len(numbers)

    def test_tasks_are_chosen_by_what_stands_at_a_path_of_their_record(
        self, store: ParkingStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(browsing, "RECORDS_LOOKED_INTO", 3)
        monkeypatch.setattr(browsing, "PAGE_ROWS", 2)
        payloads = [b'{"user": {"id": %d}}' % (number % 4) for number in range(12)]
        large = b'{"user": {"id": 1}, "more": "' + b" " * 3_000_000 + b'"}'
        payloads += [b"", b"\xff\x00", b"no JSON", large, b'{"user": {"id": "1"}}', b'{"user": 1}']
        store.park([replace(dead_task(number), payload=payload) for number, payload in enumerate(payloads)])
        chosen = ParkedFilter(where=Where.parse("user.id=1"))
        assert [row["offset"] for row in rows(store, chosen)] == [16, 15, 9, 5, 1]
        assert [row["offset"] for page in store.list(chosen, limit=3) for row in page] == [16, 15, 9]
        assert total(store.count(chosen)) == {CONSUMER: 5}
        assert total(store.count(replace(chosen, state=ParkedState.WAITING))) == {}
        assert total(store.retry(chosen)) == total(store.discard(chosen)) == {CONSUMER: 5}
        assert len(rows(store)) == len(payloads) - 5

    def test_many_records_are_looked_into_in_steps_that_read_so_many_bytes(
        self, store: ParkingStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(looking_into, "MOST_BYTES", 10_000)
        store.park(
            [replace(dead_task(number), payload=b'{"a": %d}' % (number % 2) + b" " * 3_000) for number in range(9)]
        )
        chosen = ParkedFilter(where=Where.parse("a=0"))
        assert [row["offset"] for row in rows(store, chosen)] == [8, 6, 4, 2, 0]
        steps = list(store.discard(chosen))
        assert total(steps) == {CONSUMER: 5}
        assert len(steps) == 3
        keys = [key for number in (1, 3) for key in store.keys_of(dead_task(number).task_id)]
        assert total(store.count(ParkedFilter(where=Where.parse("a=1")), keys)) == {CONSUMER: 2}
        assert total(store.count(chosen, keys)) == {}

    @pytest.mark.parametrize(("before", "after"), [(10, 20), (10, 3_000_000), (3_000_000, 10), (3_000_000, 2_000_000)])
    def test_a_task_is_given_another_record_and_keeps_all_else(
        self, store: ParkingStore, before: int, after: int
    ) -> None:
        task = replace(dead_task(1), payload=b"a" * before, key=b"key", headers=(("h", b"1"),), crashes=2)
        store.park([task, dead_task(2)])
        kept: list[ParkedTask] = []
        assert store.edit(task, b"b" * after, kept.append)
        assert [each.payload for each in kept] == [task.payload]
        assert store.find(task.task_id) == (replace(task, payload=b"b" * after),)
        sizes = [int(str(row["size_bytes"])) for row in rows(store) if row["offset"] == 1]
        assert after < sizes[0] < after + 100
        total(store.retry())
        assert {each.payload for each in store.claim_due(CONSUMER, 10, OWNER)} == {b"b" * after, dead_task(2).payload}

    def test_the_record_of_a_task_that_a_worker_has_or_that_is_no_longer_there_stays(self, store: ParkingStore) -> None:
        store.park([parked_task(1), parked_task(2)])
        store.note_suspect(suspect_task(3, 1))
        kept: list[ParkedTask] = []
        (claimed,) = store.claim_due(CONSUMER, 1, OWNER)
        for task in (claimed, parked_task(9), suspect_task(3, 1)):
            assert not store.edit(task, b"{}", kept.append)
        store.release_tasks([claimed], OWNER.owner)
        assert len(store.claim_due(CONSUMER, 2, LAPSED)) == 2
        assert store.edit(claimed, b"{}", kept.append)
        assert kept == [claimed]
        assert not store.finish(CONSUMER, claimed.task_id, LAPSED.owner), "the old record ends no task"
        assert store.finish(CONSUMER, parked_task(2).task_id, LAPSED.owner)

    def test_a_record_that_cannot_be_kept_is_not_replaced(self, store: ParkingStore) -> None:
        store.park([dead_task(1)])

        def refuse(task: ParkedTask) -> None:
            raise UsageError("the disk is full")

        with pytest.raises(UsageError):
            store.edit(dead_task(1), b"{}", refuse)
        assert store.find(dead_task(1).task_id)[0].payload == dead_task(1).payload

    def test_tasks_are_counted_by_consumer_and_error(
        self, store: ParkingStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(errors, "ROWS_A_PAGE", 3)
        store.park([replace(dead_task(number), error=f"KeyError: 'user_{number}\x00'") for number in range(5)])
        store.park(
            [replace(dead_task(9), error="OSError: no"), replace(dead_task(7, "group/other"), error="OSError: no")]
        )
        found = store.by_error(most=100)
        told = [(each["consumer"], each["error"], each["tasks"]) for each in found]
        assert told == [
            (CONSUMER, "KeyError: 'user_#\x00'", 5),
            (CONSUMER, "OSError: no", 1),
            ("group/other", "OSError: no", 1),
        ]
        first = found[0]
        assert (first["first_at"], first["last_at"]) == (dead_task(0).last_at, dead_task(4).last_at)
        assert store.find(str(first["handle"]))[0].task_id == dead_task(4).task_id
        assert len(rows(store, ParkedFilter(error=str(first["search"])))) == 5
        assert [each["tasks"] for each in store.by_error(most=2)] == [1, 1]
        assert store.by_error(ParkedFilter(error="OSError", target="group/other"), most=100)[0]["tasks"] == 1

    def test_errors_that_are_too_many_to_be_told_apart_are_told_by_their_class(
        self, store: ParkingStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(errors, "MOST_ERRORS", 2)
        store.park([replace(dead_task(number), error=f"KeyError: {'x' * number}") for number in range(5)])
        assert {each["error"]: each["tasks"] for each in store.by_error(most=100)} == {
            "KeyError: xxxx": 1,
            "KeyError: xxx": 1,
            "KeyError": 3,
        }

    def test_tasks_are_retried_so_many_a_second(self, store: ParkingStore) -> None:
        tasks = FIRST_ROWS + 40
        began = wall()
        late = replace(parked_task(900), crashes=2, due_at=began + 1e6)
        store.park([dead_task(number) for number in range(tasks)] + [late])
        assert total(store.retry(ParkedFilter(), rate=0.5)) == {CONSUMER: tasks + 1}
        due = sorted(float(str(row["due_at"])) for row in rows(store))
        assert due[0] == pytest.approx(began, abs=60)
        gaps = [round(later - earlier, 3) for earlier, later in pairwise(due)]
        assert gaps == [2.0] * tasks, "each has its turn, over all steps"
        assert {row["state"] for row in rows(store)} == {ParkedState.WAITING}
        assert len(store.claim_due(CONSUMER, 1_000, OWNER)) == 1, "the others wait"

    def test_what_is_retried_at_a_high_rate_is_due_in_parts_of_a_tenth_of_a_second(self, store: ParkingStore) -> None:
        store.park([dead_task(number) for number in range(25)])
        total(store.retry(ParkedFilter(), rate=100.0))
        due = Counter(float(str(row["due_at"])) for row in rows(store))
        assert sorted(due.values()) == [5, 10, 10]
        assert round(max(due) - min(due), 3) == 0.2

    @pytest.mark.parametrize("content", [b"another", b"a" * (4 * 1024 * 1024)])
    def test_a_parked_task_is_never_overwritten_by_another_of_the_same_id(
        self, store: ParkingStore, content: bytes
    ) -> None:
        first = replace(dead_task(1), payload=content)
        second, third = replace(parked_task(1), payload=b"second"), replace(dead_task(1), payload=b"third")
        store.park([first])
        store.park([second, replace(second, attempts=7), third])
        found = {task.payload: (str(task.task_id), task.attempts) for task in everything(store)}
        assert found.keys() == {content, b"second", b"third"}
        assert found[b"third"] == (first.task_id, 3)
        assert found[b"second"][1] == 7
        assert found[content][0].startswith(f"{first.task_id}~")
        assert set(store.entries_among(CONSUMER, [first.task_id])) == {first.task_id}
        store.park([third, third])
        assert len(everything(store)) == 3

    def test_a_consumers_waiting_and_dead_tasks_are_counted(self, store: ParkingStore) -> None:
        assert store.parked_count(CONSUMER) == (0, 0)
        store.park([parked_task(1), dead_task(2), dead_task(3), dead_task(4, "group/other")])
        store.note_suspect(suspect_task(5, 1))
        assert store.parked_count(CONSUMER) == (1, 2)

    def test_what_became_of_a_task_whose_lease_was_lost_can_be_said(self, store: ParkingStore) -> None:
        store.park([parked_task(1)])
        (task,) = store.claim_due(CONSUMER, 1, LAPSED)
        store.claim_due(CONSUMER, 1, OTHER)
        assert store.fate(CONSUMER, task.task_id) == "another worker has it by now"
        store.park_again(replace(task, state=ParkedState.DEAD, due_at=None), OTHER.owner)
        assert store.fate(CONSUMER, task.task_id) == "is dead by now, as another worker or a person left it"
        total(store.discard())
        assert store.fate(CONSUMER, task.task_id) == "was discarded meanwhile, or done by another worker"

    def test_a_retry_makes_tasks_due_now_and_keeps_their_attempts(self, store: ParkingStore) -> None:
        store.park([dead_task(1), replace(parked_task(2), due_at=wall() + 1_000), dead_task(3, "group/other")])
        assert total(store.retry(ParkedFilter(CONSUMER))) == {CONSUMER: 2}
        assert sorted(task.attempts for task in store.claim_due(CONSUMER, 10, OWNER)) == [3, 3]
        assert store.parked_count("group/other")[1] == 1

    def test_single_tasks_can_be_retried_and_discarded(self, store: ParkingStore) -> None:
        store.park([replace(dead_task(number), payload=b"x" * 2_000_000) for number in range(3)])
        assert total(store.retry(keys=store.keys_of(dead_task(0).task_id))) == {CONSUMER: 1}
        assert total(store.discard(keys=store.keys_of(dead_task(1).task_id))) == {CONSUMER: 1}
        assert store.parked_count(CONSUMER) == (1, 1)

    def test_discarding_can_be_narrowed_by_state(self, store: ParkingStore) -> None:
        store.park([parked_task(1), dead_task(2)])
        assert total(store.discard(ParkedFilter(state=ParkedState.DEAD))) == {CONSUMER: 1}
        assert total(store.discard()) == {CONSUMER: 1}
        assert total(store.discard()) == {}

    def test_all_are_gone_through_in_steps_of_so_many_rows(self, store: ParkingStore) -> None:
        store.park([dead_task(number) for number in range(FIRST_ROWS + 40)])
        for act in (store.count, store.retry, store.discard):
            assert list(act()) == [{CONSUMER: FIRST_ROWS}, {CONSUMER: 40}]
        assert list(store.discard()) == [{}]

    # Its tables

    def test_a_store_of_an_older_consumerd_gets_what_it_lacks(self, store: ParkingStore, place: Place) -> None:
        def as_before(connection: Connection) -> None:
            connection.exec_driver_sql("ALTER TABLE parked DROP COLUMN log")
            connection.exec_driver_sql("UPDATE parked_schema SET version = 4")

        store.park([dead_task(1)])
        store.database.write(as_before)
        newer = place()
        newer.park([replace(dead_task(2), log="12:00:00.000Z INFO shop: line")])
        logs = [newer.find(dead_task(number).task_id)[0].log for number in (1, 2)]
        newer.close()
        assert logs == ["", "12:00:00.000Z INFO shop: line"]

    # Several at once

    def test_many_may_open_an_empty_database_at_once(self, place: Place) -> None:
        def open_and_park(number: int) -> None:
            store = place()
            try:
                store.park([parked_task(number)])
            finally:
                store.close()

        self._at_once([partial(open_and_park, number) for number in range(OPENERS)])
        store = place()
        assert store.parked_count(CONSUMER)[0] == OPENERS
        store.close()

    def test_one_at_a_time_changes_how_a_consumer_is_divided(self, place: Place) -> None:
        def join(name: str) -> None:
            mine, member = place(), Member(name, name)

            def step(before: Division, now: float) -> Division:
                after = divided(before, member, now + 60.0, ())
                return reduced(after, member, fair_part(after, member))

            for _ in range(5):
                mine.divide(CONSUMER, step)
            mine.close()

        self._at_once([partial(join, name) for name in "abcd"])
        store = place()
        found = store.divide(CONSUMER, lambda before, now: before)
        buckets = [bucket for share in found.values() for owned in share.ranges for bucket in owned]
        assert len(buckets) == len(set(buckets))
        assert found.keys() == set("abcd")
        assert store.divide("group/other", lambda before, now: before) == {}
        store.close()

    def test_two_claimers_at_once_share_what_is_due_without_overlap(self, place: Place) -> None:
        store = place()
        store.park([parked_task(number) for number in range(200)])
        store.close()
        claimed: list[int] = []

        def claim(owner: str) -> None:
            mine = place()
            while tasks := mine.claim_due(CONSUMER, 7, Lease(owner, 60.0)):
                claimed.extend(task.offset for task in tasks)
            mine.close()

        self._at_once([partial(claim, f"m{number}#1") for number in range(4)])
        assert sorted(claimed) == list(range(200))

    def _at_once(self, jobs: list[Callable[[], None]]) -> None:
        errors: list[BaseException] = []

        def run(job: Callable[[], None]) -> None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
                errors.append(error)

        threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        if errors:
            raise errors[0]


def rows(store: ParkingStore, chosen: ParkedFilter = EVERY) -> list[Item]:
    """The list that people see, in one."""
    return [row for page in store.list(chosen) for row in page]


def everything(store: ParkingStore) -> list[ParkedTask]:
    """All parked tasks, whole."""
    return [store.find(str(row["handle"]))[0] for row in rows(store)]
