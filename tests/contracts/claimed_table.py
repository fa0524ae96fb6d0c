"""What a claimed table must do on every database, as tests: subclass `ClaimedTableContract`, give it a `bench`.

class TestMyDatabase(ClaimedTableContract):
    @pytest.fixture
    def bench(self) -> Iterator[TableBench]: ...
"""

from __future__ import annotations

import pytest

from consumerd.model.outcome import DONE, SKIPPED, Dead, Expired, Outcome, Retry
from consumerd.model.task import TaskId
from consumerd.sources.contract import Settlement
from consumerd.sources.table import KIND
from consumerd.sources.table.rounds import DEAF_S
from consumerd.sources.table.turns.front import SHORTEST_S
from contracts.table_bench import LEASE_S, NOW, TableBench, died, fetched, record, settle


class ClaimedTableContract:
    """The suite."""

    # Claiming

    def test_what_one_has_claimed_no_other_gets(self, bench: TableBench) -> None:
        bench.enqueue(*range(3))
        first = fetched(bench.source("a"), 2)
        second = fetched(bench.source("b"))
        assert [len(first.raws), len(second.raws)] == [2, 1]
        assert bench.source("c").fetch(10, 0.0) is None

    def test_a_lease_that_ran_out_is_claimed_first(self, bench: TableBench) -> None:
        bench.enqueue("lost", *range(5))
        fetched(bench.source("a"), 1)
        bench.let_pass(LEASE_S + 1)
        assert fetched(bench.source("b"), 1).task(0).payload == b'"lost"'

    def test_while_others_wait_a_lease_that_ran_out_is_claimed_at_once_or_on_servers_after_a_moment(
        self, bench: TableBench
    ) -> None:
        bench.enqueue("lost", *range(5))
        fetched(bench.source("a"), 1)
        source = bench.source("b")
        payloads = [fetched(source, 1).task(0).payload]
        bench.execute(f"UPDATE {bench.claims} SET due_at = 1 WHERE id = 1")
        payloads.append(fetched(source, 1).task(0).payload)
        bench.clock.advance(SHORTEST_S + 0.1)
        payloads.append(fetched(source, 1).task(0).payload)
        assert payloads == ([b"0", b"1", b'"lost"'] if bench.is_server else [b"0", b'"lost"', b"1"])

    def test_who_wants_nothing_waits(self, bench: TableBench) -> None:
        source = bench.source()
        began_at = bench.clock.monotonic()
        assert source.fetch(0, 5.0) is None
        assert bench.clock.monotonic() >= began_at + 5.0

    def test_who_wants_nothing_waits_though_the_database_refuses_a_row(self, bench: TableBench) -> None:
        bench.enqueue(*range(3))
        bench.refuse("DELETE", 3)
        source = bench.source(done="delete")
        settle(source, fetched(source))
        began_at = bench.clock.monotonic()
        assert source.fetch(0, 5.0) is None
        assert bench.clock.monotonic() >= began_at + 5.0
        assert source.unsettled() == 1

    def test_an_idle_worker_begins_at_once_what_is_added(self, bench: TableBench) -> None:
        source = bench.source()
        assert source.fetch(10, 100.0) is None
        bench.clock.advance(DEAF_S)
        added_at = bench.clock.monotonic()
        bench.enqueue("x")
        batch = source.fetch(10, 100.0)
        assert batch is not None
        assert record(batch) == "x"
        assert bench.clock.monotonic() == added_at

    def test_a_deferred_row_comes_when_it_is_due_with_its_attempts(self, bench: TableBench) -> None:
        bench.enqueue("x")
        source = bench.source()
        batch = fetched(source)
        task = batch.task(0)._replace(attempts=4, first_at=NOW - 5)
        source.settle([Settlement(batch, 0, 1, Retry(after=60), task)], is_due=True)
        assert source.fetch(10, 0.0) is None
        bench.let_pass(61)
        again = fetched(source).task(0)
        assert (again.attempts, again.id) == (4, "tasks:1")
        assert again.first_at == pytest.approx(NOW - 5, abs=5.0)  # by the clock of the database, which may be another's

    def test_a_claim_on_a_server_knows_since_when_its_rows_were_due(self, bench: TableBench) -> None:
        bench.enqueue("x", "y")
        bench.execute(f"UPDATE {bench.claims} SET due_at = due_at - 40 WHERE id = 1")
        first, last = bench.rows("due_at")
        source = bench.source()
        known = source.due_between(fetched(source))
        assert known == (pytest.approx((first, last), abs=0.01) if bench.is_server else None)

    def test_fresh_rows_and_rows_that_are_tried_again_take_turns(self, bench: TableBench) -> None:
        source = bench.source()
        bench.enqueue(*({"number": number} for number in range(6)))
        batch = fetched(source, 6)
        for index in range(6):
            task = batch.task(index)._replace(attempts=1)
            source.settle((Settlement(batch, index, index + 1, Retry(after=0), task),), is_due=False)
        source.settle((), is_due=True)
        bench.enqueue(*({"number": number} for number in range(6, 9)))
        bench.execute(
            f"UPDATE {bench.claims} SET due_at = "
            f"(SELECT * FROM (SELECT max(due_at) FROM {bench.claims}) AS t) WHERE attempts = 0"
        )
        bench.let_pass(2)
        attempts = []
        for _ in range(9):
            batch = fetched(source, 1)
            attempts.append(batch.task(0).attempts)
            settle(source, batch)
        assert sorted(attempts) == [0, 0, 0, 1, 1, 1, 1, 1, 1]
        assert 0 in attempts[:2]
        assert 1 in attempts[:2]

    def test_a_fetch_waits_no_longer_than_its_time(self, bench: TableBench) -> None:
        before = bench.clock.monotonic()
        assert bench.source().fetch(10, 0.5) is None
        assert 0.5 <= bench.clock.monotonic() - before < 0.6

    def test_no_batch_is_larger_than_batch_size(self, bench: TableBench) -> None:
        bench.enqueue(*range(10))
        assert len(fetched(bench.source(batch_size=4)).raws) == 4

    def test_attempts_are_counted_as_far_as_a_column_of_four_bytes_holds_them(self, bench: TableBench) -> None:
        bench.enqueue("x")
        bench.execute(f"UPDATE {bench.claims} SET attempts = 2147483647")
        source = bench.source()
        batch = fetched(source)
        task = batch.task(0)._replace(attempts=batch.task(0).attempts + 1)
        source.settle([Settlement(batch, 0, 1, Retry(after=0.0), task)], is_due=True)
        assert bench.rows("state, attempts") == [("pending", 2**31 - 2)]

    # Settling

    @pytest.mark.parametrize(
        ("outcome", "state"),
        [(DONE, "done"), (Dead("x"), "dead"), (Expired("x"), "dead"), (SKIPPED, "dead"), (Retry(after=5.0), "pending")],
    )
    def test_an_outcome_becomes_the_rows_state(self, bench: TableBench, outcome: Outcome, state: str) -> None:
        bench.enqueue("x")
        source = bench.source()
        settle(source, fetched(source), outcome)
        assert bench.rows("state, lease") == [(state, None)]
        assert source.unsettled() == 0

    def test_done_rows_are_deleted_where_that_is_wanted(self, bench: TableBench) -> None:
        bench.enqueue("x", "y")
        source = bench.source(done="delete")
        batch = fetched(source)
        source.settle([Settlement(batch, 0, 1, DONE), Settlement(batch, 1, 2, Dead("x"))], is_due=True)
        assert bench.rows("state") == ["dead"]

    def test_what_is_not_due_is_settled_with_the_next_claim(self, bench: TableBench) -> None:
        bench.enqueue(*range(4))
        source = bench.source(batch_size=2)
        settle(source, fetched(source), is_due=False)
        assert bench.rows() == ["claimed", "claimed", "pending", "pending"]
        assert source.unsettled() == 2
        fetched(source)
        assert bench.rows() == ["done", "done", "claimed", "claimed"]
        assert source.unsettled() == 2

    def test_a_limit_of_nothing_settles_what_is_noted(self, bench: TableBench) -> None:
        bench.enqueue("x", "y")
        source = bench.source()
        settle(source, fetched(source, 1), is_due=False)
        assert source.fetch(0, 0.0) is None
        assert bench.rows() == ["done", "pending"]

    def test_where_each_task_is_settled_by_itself_nobody_waits_between_two(self, bench: TableBench) -> None:
        bench.enqueue("x", "y")
        source = bench.source()
        settle(source, fetched(source, 1), is_due=False)
        before = bench.clock.monotonic()
        assert source.fetch(0, 0.4) is None
        assert bench.clock.monotonic() == before
        assert source.unsettled() == 0

    def test_who_lost_its_lease_settles_nothing_and_says_so(self, bench: TableBench) -> None:
        bench.enqueue("x")
        slow, quick = bench.source("a"), bench.source("b")
        late = fetched(slow)
        bench.let_pass(LEASE_S + 1)
        settle(quick, fetched(quick))
        settle(slow, late, Dead("late"))
        assert bench.rows() == ["done"]
        assert [fact.fields["tasks"] for fact in bench.told("lease_lost")] == [1]

    def test_another_worker_is_said_to_have_rows_only_where_it_has(self, bench: TableBench) -> None:
        bench.enqueue(1, 2)
        source = bench.source()
        batch = fetched(source)
        bench.execute(f"DELETE FROM {bench.claims} WHERE id = 1")
        bench.execute(f"UPDATE {bench.claims} SET lease = 'other' WHERE id = 2")
        source.settle([Settlement(batch, 0, 1, DONE)], is_due=True)
        source.settle([Settlement(batch, 1, 2, DONE)], is_due=True)
        assert [fact.fields["then"] for fact in bench.told("lease_lost")] == [
            "they were done by another worker, changed or deleted meanwhile",
            "another worker has them by now",
        ]

    def test_what_the_database_refuses_to_settle_holds_nothing_else_up(self, bench: TableBench) -> None:
        bench.enqueue(*range(7))
        bench.refuse("DELETE", 3)
        source = bench.source(done="delete")
        batch = fetched(source, 5)
        settle(source, batch, is_due=False)
        assert len(fetched(source, 1).raws) == 1
        assert bench.rows("id") == [3, 6, 7]
        assert source.unsettled() == 2
        for _ in range(20):
            bench.let_pass(5)
            source.tick()
            source.settle((), is_due=True)
        assert bench.rows("id, state") == [(3, "claimed"), (6, "claimed"), (7, "pending")]
        (told,) = bench.told("settling_failed")
        assert "the database refuses to settle tasks:3: " in str(told.fields["error"])
        assert record(fetched(bench.source("b"))) == 6, "the refused row is in its worker's hand"
        bench.refuse("DELETE", None)
        for _ in range(13):
            bench.let_pass(5)
            source.tick()
            source.settle((), is_due=True)
        assert bench.rows("id") == [6, 7]
        assert source.unsettled() == 1
        assert not bench.told("lease_lost")

    def test_no_more_is_claimed_than_may_be_unsettled_though_the_database_refuses_all(self, bench: TableBench) -> None:
        bench.enqueue(*range(3))
        bench.refuse("DELETE", 3)
        source = bench.source(done="delete", max_unsettled=1)
        settle(source, fetched(source, 3))
        assert source.unsettled() == 1
        assert not bench.told("settling_stalled"), "it may be a lock that is gone in a moment"
        for _ in range(3):
            bench.let_pass(5)
            source.tick()
            assert source.fetch(0, 0.0) is None
        (told,) = bench.told("settling_stalled")
        assert "the database refuses to settle tasks:3: " in str(told.fields["error"])
        bench.refuse("DELETE", None)
        bench.let_pass(10)
        source.tick()
        assert source.fetch(0, 0.0) is None
        assert (source.unsettled(), len(bench.told("settling_went_on"))) == (0, 1)

    def test_a_check_that_does_not_know_a_state_holds_nothing_else_up(self, bench: TableBench) -> None:
        bench.enqueue(*range(4))
        bench.refuse("UPDATE", None)
        source = bench.source()
        batch = fetched(source, 2)
        settle(source, batch, Dead("no"), is_due=False)
        settle(source, fetched(source, 1))
        assert bench.rows() == ["claimed", "claimed", "done", "pending"]
        assert len(bench.told("settling_failed")) == 2
        source.close(0.0)
        assert bench.rows() == ["pending", "pending", "done", "pending"]

    def test_a_claim_that_is_too_old_is_lost_alone(self, bench: TableBench) -> None:
        bench.enqueue(*range(4))
        source = bench.source()
        old = fetched(source, 2)
        bench.clock.advance(0.7 * LEASE_S)
        new = fetched(source, 2)
        bench.clock.advance(0.2 * LEASE_S)
        assert [source.keeps(batch) for batch in (old, new)] == [False, True]
        source.settle([Settlement(new, 1, 2, DONE), Settlement(old, 0, 1, DONE)], is_due=True)  # it ran all the while
        source.release(old, [1])
        source.settle([Settlement(new, 0, 1, DONE)], is_due=True)
        source.release(new, ())
        assert bench.rows() == ["done", "pending", "done", "done"]
        assert source.unsettled() == 0

    def test_what_ends_while_there_is_nothing_to_claim_is_written_when_that_is_due(self, bench: TableBench) -> None:
        bench.enqueue(*range(3))
        source = bench.source()
        batch = fetched(source)
        assert source.fetch(10, 0.0) is None
        for index in range(3):
            source.settle([Settlement(batch, index, index + 1, DONE)], is_due=False)
            assert source.fetch(10, 0.0) is None
        assert bench.rows() == ["claimed"] * 3
        source.settle((), is_due=True)
        assert (bench.rows(), source.unsettled()) == (["done"] * 3, 0)

    def test_what_is_released_is_pending_again_at_once(self, bench: TableBench) -> None:
        bench.enqueue(*range(3))
        source = bench.source()
        batch = fetched(source)
        source.settle([Settlement(batch, 0, 1, DONE)], is_due=False)
        source.release(batch, range(1, len(batch.raws)))
        assert bench.rows() == ["done", "pending", "pending"]
        assert source.unsettled() == 0

    def test_closing_settles_what_is_finished_and_gives_back_the_rest(self, bench: TableBench) -> None:
        bench.enqueue(*range(3))
        source = bench.source()
        batch = fetched(source)
        source.settle([Settlement(batch, 0, 2, DONE)], is_due=False)
        source.close(0.0)
        assert bench.rows() == ["done", "done", "pending"]

    def test_rows_that_have_been_done_for_long_enough_are_deleted_with_the_lag(self, bench: TableBench) -> None:
        bench.enqueue(*range(4))
        source = bench.source(retention=60.0)
        batch = fetched(source, 3)
        source.settle([Settlement(batch, 0, 2, DONE), Settlement(batch, 2, 3, Dead("x"))], is_due=True)
        source.lag()
        assert bench.rows() == ["done", "done", "dead", "pending"]
        bench.let_pass(61)
        source.lag()
        assert bench.rows() == ["dead", "pending"]

    def test_a_done_row_that_cannot_be_deleted_hides_neither_the_lag_nor_other_rows(self, bench: TableBench) -> None:
        bench.enqueue(*range(9))
        source = bench.source(retention=60.0)
        settle(source, fetched(source, 7))
        bench.refuse("DELETE", 3)
        bench.let_pass(61)
        for _ in range(3):
            assert [lag.tasks for lag in source.lag()] == [2]
        assert bench.rows("id") == [3, 8, 9]
        (told,) = bench.told("settling_failed")
        assert "the database refuses to delete tasks:3, " in str(told.fields["error"])
        bench.refuse("DELETE", None)
        for _ in range(3):
            source.lag()
        assert bench.rows("id") == [8, 9]

    # Leases

    def test_a_new_generation_takes_over_what_the_earlier_ones_of_its_slot_had(self, bench: TableBench) -> None:
        bench.enqueue(*range(9))
        for member in ("slot.11", "slot.1", "slot.2", "SLOT.1"):
            fetched(bench.source(member, 1), 1)
        successor = bench.source("slot.1", 2)
        assert record(fetched(successor, 1)) == 1, "not behind all that waits"
        assert record(fetched(successor, 1)) == 4, "those of others are theirs"

    def test_the_keeper_renews_a_lease_once_a_third_is_over(self, bench: TableBench) -> None:
        bench.enqueue("x")
        source = bench.source()
        batch = fetched(source)
        for _ in range(20):
            bench.let_pass(5)
            source.tick()
            assert source.keeps(batch)
        assert bench.source("b").fetch(1, 0.0) is None
        settle(source, batch)
        assert bench.rows() == ["done"]
        assert not bench.worker.interrupts

    def test_an_old_lease_is_not_trusted(self, bench: TableBench) -> None:
        bench.enqueue("x")
        source = bench.source()
        batch = fetched(source)
        bench.let_pass(LEASE_S * 0.79)
        assert source.keeps(batch)
        bench.let_pass(LEASE_S * 0.02)
        assert not source.keeps(batch)

    def test_a_lease_that_others_took_is_noticed_and_what_is_left_goes_back(self, bench: TableBench) -> None:
        bench.enqueue(*range(3))
        frozen = bench.source("a")
        batch = fetched(frozen)
        bench.let_pass(LEASE_S + 1)
        fetched(bench.source("b"), 1)
        frozen.tick()
        assert not frozen.keeps(batch)
        assert bench.worker.interrupts
        frozen.release(batch, range(1, len(batch.raws)))
        assert frozen.fetch(0, 0.0) is None
        assert frozen.unsettled() == 0
        assert sorted(map(str, bench.rows())) == ["claimed", "pending", "pending"]

    # Lag and probe

    def test_the_lag_counts_what_is_due_and_claimed_and_its_position_moves(self, bench: TableBench) -> None:
        bench.enqueue(*range(5))
        source = bench.source()
        before = source.lag()[0]
        assert (before.tasks, before.position) == (5, source.lag()[0].position)
        settle(source, fetched(source, 2))
        batch = fetched(source, 1)
        source.settle([Settlement(batch, 0, 1, Retry(after=60))], is_due=True)
        fetched(source, 1)
        after = source.lag()[0]
        assert (after.tasks, after.later) == (2, 1)
        assert after.position != before.position
        assert (after.oldest_s or 0) > 0

    def test_where_all_that_waits_is_claimed_no_worker_is_to_blame_until_a_lease_is_over(
        self, bench: TableBench
    ) -> None:
        bench.enqueue(*range(3))
        source = bench.source()
        fetched(source, 2)
        assert not source.lag()[0].is_blocked, "a row waits for anybody"
        fetched(source, 1)
        assert (source.lag()[0].tasks, source.lag()[0].is_blocked) == (3, True)
        bench.let_pass(LEASE_S + 1)
        assert (source.lag()[0].tasks, source.lag()[0].is_blocked) == (3, False)

    def test_a_probe_reads_the_lag(self, bench: TableBench) -> None:
        bench.enqueue(*range(5))
        assert KIND.probe(bench.keys())[0].tasks == 5

    def test_rows_that_can_never_be_claimed_are_told(self, bench: TableBench) -> None:
        bench.enqueue(*range(6))
        bench.execute(f"UPDATE {bench.claims} SET due_at = NULL WHERE id = 1")
        bench.execute(f"UPDATE {bench.claims} SET due_at = 1764000000000 WHERE id = 2")
        bench.execute(f"UPDATE {bench.claims} SET state = 'QUEUED' WHERE id = 3")
        bench.execute(f"UPDATE {bench.claims} SET state = 'archived', due_at = NULL WHERE id = 4")
        complaint = (
            f"3 rows of {bench.claims} can never be claimed: 1 whose due_at is no unix time in seconds (id 2), "
            "1 whose state is neither pending, claimed, done nor dead (id 3), 1 without due_at (id 1)"
        )
        for lag in (*bench.source().lag(), *KIND.probe(bench.keys())):
            assert (lag.tasks, lag.complaint) == (2, complaint)
        bench.execute(f"UPDATE {bench.claims} SET state = 'pending', due_at = 0")
        assert bench.source().lag()[0].complaint == ""

    # What became of a parked copy

    def test_a_row_whose_parked_copy_was_tried_again_with_success_is_done(self, bench: TableBench) -> None:
        bench.enqueue(1, 2)
        source = bench.source()
        parked_id = died(source)
        source.finish_parked(TaskId(parked_id))
        assert bench.rows("state, settled_at IS NULL") == [("done", False), ("pending", True)]
        assert not bench.told("lease_lost")

    def test_a_row_that_is_deleted_when_done_goes_with_its_parked_copy(self, bench: TableBench) -> None:
        bench.enqueue(1, 2)
        source = bench.source(done="delete")
        source.finish_parked(TaskId(died(source)))
        assert bench.rows() == ["pending"]

    def test_a_row_that_its_owner_made_pending_again_is_left_alone(self, bench: TableBench) -> None:
        bench.enqueue(1)
        source = bench.source()
        parked_id = died(source)
        bench.execute(f"UPDATE {bench.claims} SET state = 'pending', due_at = 0")
        source.finish_parked(TaskId(parked_id))
        assert bench.rows() == ["pending"]

    def test_a_task_id_that_is_none_of_the_tables_changes_nothing(self, bench: TableBench) -> None:
        bench.enqueue(1)
        source = bench.source()
        died(source)
        source.finish_parked(TaskId("tasks:no-such-key"))
        assert bench.rows() == ["dead"]
