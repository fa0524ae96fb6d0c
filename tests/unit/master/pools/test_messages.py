"""What the master makes of what its processes say: its real parts, but for a launcher that starts no process."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from consumerd.clock import moment
from consumerd.config.common_keys import CommonKeys
from consumerd.config.shape import ConsumerSettings
from consumerd.errors import SourceRefusedError
from consumerd.events.facts import Fact, Level
from consumerd.events.outlet import Outlet
from consumerd.master.control.status import pool_status
from consumerd.master.host.launcher import Executed, WorkerEnds
from consumerd.master.host.stderr import StderrPipes
from consumerd.master.pools import suspects
from consumerd.master.pools.entry import Entry
from consumerd.master.pools.mailbox import Arrival, Mailbox, Origin
from consumerd.master.pools.performing import perform
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.pools import Pools
from consumerd.master.pools.tools import Tools
from consumerd.master.pools.worker_messages import hear_worker, look_for_proof, worker_ended
from consumerd.master.pools.zygote_messages import hear_zygote, zygote_ended
from consumerd.master.rules import history
from consumerd.master.rules.actions import ExecuteZygote, ForkWorker
from consumerd.master.rules.observed import Condemned
from consumerd.master.rules.plan import plan
from consumerd.master.rules.restart import PROVEN_AFTER_S
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState, SlotState, ZygoteState
from consumerd.model.suspects import Suspect
from consumerd.model.task import TaskId
from consumerd.sources.identities import by_offset
from consumerd.state.state_dir import StateDirectory
from consumerd.version import __version__
from consumerd.wire import messages
from consumerd.wire.board import (
    ANSWERED,
    CURSOR,
    FLAGS,
    LANES_AT,
    NONE,
    STATE,
    Board,
    BoardFlag,
    WorkerState,
)
from consumerd.wire.board_writer import BoardWriter
from consumerd.wire.channel import Channel
from consumerd.wire.messages import (
    Assignment,
    Forked,
    Hello,
    Lag,
    Loaded,
    LoadFailed,
    Message,
    NotForked,
    ParkedNow,
    Ready,
    Reported,
)
from consumerd.wire.status import Flag, LastError, ParkedCounts, ShardStatus, ZygoteStatus

NAME = ConsumerName("g", "a")
ZYGOTE_PID, WORKER_PID = 1_000_000_000, 1_000_000_100  # above what any kernel gives
LOADED = Loaded("memory", {})
NO_DESCRIPTOR = OSError(errno.EMFILE, "Too many open files")


class PaperLauncher:
    """A launcher whose processes are pids and the far ends of their channels.

    refusals: how often the system says no. dead: pids and wait statuses of those that nobody has reaped yet.
    """

    def __init__(self) -> None:
        self.refusals = 0
        self.killed: list[int] = []
        self.asked: list[int] = []
        self.stopped: set[int] = set()
        self.strangers: set[int] = set()
        self.holders: dict[str, int] = {}
        self.dead: dict[int, int] = {}
        self.reaped_elsewhere: set[int] = set()
        self.far_ends: list[socket.socket] = []
        self.forks: list[messages.Fork] = []

    def execute(self, module: str) -> Executed:
        self._may_refuse()
        return Executed(ZYGOTE_PID, self._channel(), self._stderr())

    def fork(self, zygote: Channel, fork: messages.Fork, *, lock: Path, table_fd: int, awaited: int) -> WorkerEnds:
        self._may_refuse()
        self.forks.append(fork)
        board, board_fd = Board.create()
        os.close(board_fd)
        return WorkerEnds(self._channel(), board, self._stderr())

    def kill(self, pid: int, pidfd: int | None) -> None:
        self.killed.append(pid)

    def holder(self, lock: Path) -> int | None:
        return self.holders.get(lock.name)

    def kill_holder(self, lock: Path, *, but: int | None) -> int | None:
        return None if self.holders.get(lock.name) in (None, but) else self.holders.pop(lock.name)

    def is_worker(self, pid: int, pidfd: int, *, zygote: int) -> bool:
        self._may_refuse()
        return pid not in self.strangers

    def ask_stacks(self, pid: int, pidfd: int | None) -> None:
        self.asked.append(pid)

    def is_stopped(self, pid: int) -> bool:
        return pid in self.stopped

    def ended(self) -> int | None:
        return next(iter(self.dead), None)

    def reap(self, pid: int, *, with_group: bool) -> int | None:
        return self.dead.pop(pid)

    def is_child(self, pid: int) -> bool:
        return pid not in self.reaped_elsewhere

    def _may_refuse(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise NO_DESCRIPTOR

    def _channel(self) -> Channel:
        ours, theirs = socket.socketpair()
        self.far_ends.append(theirs)
        return Channel(ours)

    def _stderr(self) -> int:
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.close(write_end)
        return read_end


def tools(facts: list[Fact] | None = None) -> Tools:
    """Tools that keep facts, for a test in which no process is."""
    nobody = cast("Any", None)
    return Tools(nobody, nobody, nobody, ([] if facts is None else facts).append)


class Stage:
    """One pool of two workers, and who acts on it and hears of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, directory: Path) -> None:
        self.launcher = PaperLauncher()
        self.facts: list[Fact] = []
        self.second: Channel | None = None
        settings = ConsumerSettings(group="g", name="a", target="m:C", configs={}, common=CommonKeys(workers=2))
        entry = Entry(settings, Assignment("{}", "{}", "", "", "id.g.a"), StateDirectory(directory), 25.0)
        self.refusal: str | None = None
        stderr = StderrPipes(loop, Outlet(2, patience_s=0.0))
        self.tools = Tools(
            self.launcher,
            Mailbox(loop, lambda: None),
            stderr,
            self.facts.append,
            judge=lambda name, loaded: self.refusal,
            jitter=lambda: 0.5,
        )
        self.pools = Pools([entry], self.tools, 0.0)

    @property
    def pool(self) -> Pool:
        return self.pools[NAME]

    def zygote_says(self, *messages: Message, now: float = 0.0, fds: tuple[int, ...] = ()) -> None:
        for message in messages:
            hear_zygote(self.pool, Arrival(Origin(NAME, edition=1), message, fds), now)

    def worker_says(self, slot: int, message: Message, *, generation: int = 1, now: float = 0.0) -> None:
        hear_worker(self.pool, Arrival(Origin(NAME, slot, generation), message), now)

    def up(self) -> None:
        """Both workers run."""
        perform(self.pool, ExecuteZygote(1), 0.0)
        self.zygote_says(Hello(__version__), LOADED)
        for slot in (0, 1):
            self.fork(slot, 0.0)

    def fork(self, slot: int, now: float) -> None:
        perform(self.pool, ForkWorker(slot, 1), now)
        generation = self.pool.observed.slots[slot].generation
        pidfd = os.eventfd(0)  # as a pidfd: it can be read once its process is dead
        self.zygote_says(Forked(slot, generation, WORKER_PID + slot), fds=(pidfd,))
        self.board(slot).words[STATE], self.board(slot).words[ANSWERED] = WorkerState.RUNNING, 1
        self.worker_says(slot, Ready(), generation=generation)

    def take(self, slot: int, task: str, *, crashes: int = 0) -> None:
        """A worker begins with a task."""
        board = self.board(slot)
        writer = BoardWriter(board.words)
        writer.lane.begin(0)
        writer.identify(by_offset(task.rstrip("7")))
        writer.lane.take(7)
        writer.lane.note_crashes(crashes)

    def suspects(self) -> tuple[tuple[str, int, str], ...]:
        return tuple(suspect[:3] for suspect in self.pool.suspects.told())

    def board(self, slot: int) -> Board:
        return self.pool.workers[slot].ends.board

    def turn(self, now: float) -> None:
        for _, action in plan(self.pools.wanted, self.pools.observed, now).actions:
            perform(self.pool, action, now)
        suspects.tell(self.pool)

    def sent_to_second(self) -> list[Message]:
        """What was sent to the worker of slot 1 since the last call."""
        channel = self.second = self.second or Channel(self.launcher.far_ends[2])
        channel.read_available()
        received = iter(channel.take, None)
        return [message for message, _ in received]

    @property
    def flags(self) -> list[Flag]:
        return pool_status(self.pool, 0.0).flags

    def close(self) -> None:
        processes = self.pool
        for slot in list(processes.workers):
            worker_ended(self.pool, slot, 9, 0.0)
        for edition in list(processes.zygotes):
            zygote_ended(self.pool, edition, 9, 0.0)
        for far_end in self.launcher.far_ends:
            far_end.close()


@pytest.fixture
def stage(state_dir: Path) -> Iterator[Stage]:
    loop = asyncio.new_event_loop()
    stage = Stage(loop, state_dir)
    yield stage
    stage.close()
    loop.close()


def reported(name: str) -> Reported:
    return (
        Reported(name, "error", {"error": "nobody answers"}) if name.endswith("_away") else Reported(name, "info", {})
    )


# Tasks that kill their workers


def test_the_task_in_hand_is_the_suspect_and_all_who_live_and_come_are_told(stage: Stage) -> None:
    stage.up()
    stage.take(0, "t:7")
    worker_ended(stage.pool, 0, 11, 4.0)
    assert stage.suspects() == (("t:7", 1, "SIGSEGV"),)
    told = messages.Suspects((Suspect(TaskId("t:7"), 1, "SIGSEGV"),))
    stage.turn(6.0)
    assert stage.launcher.forks[-1].suspects == told.tasks
    assert stage.sent_to_second() == [told]
    assert len(stage.pool.observed.deaths) == 1
    stage.worker_says(1, messages.Cleared("t:7"))
    assert stage.suspects() == ()
    stage.turn(7.0)
    assert stage.sent_to_second() == [messages.Suspects(())]


def test_a_worker_that_dies_between_two_tasks_or_before_its_first_makes_no_suspect(stage: Stage) -> None:
    stage.up()
    worker_ended(stage.pool, 0, 11, 4.0)
    stage.take(1, "t:7")
    stage.board(1).words[LANES_AT + CURSOR] = NONE
    worker_ended(stage.pool, 1, 11, 4.0)
    assert stage.suspects() == ()
    assert len(stage.pool.observed.deaths) == 2


def test_a_known_suspects_death_costs_the_pool_nothing(stage: Stage) -> None:
    stage.up()
    stage.take(0, "t:7", crashes=1)
    worker_ended(stage.pool, 0, 11, 4.0)
    assert stage.suspects() == (("t:7", 2, "1 earlier, SIGSEGV"),)
    assert stage.pool.observed.deaths == ()


def test_a_worker_that_is_killed_past_its_deadline_makes_no_suspect(stage: Stage) -> None:
    stage.up()
    stage.take(0, "t:7")
    stage.pool.become(history.asked_to_leave(stage.pool.observed, 0, 1.0, deadline=2.0).with_slot(0, is_killed=True))
    worker_ended(stage.pool, 0, 9, 4.0)
    assert stage.suspects() == ()


def test_a_kill_of_ours_counts_and_one_of_anybodys_only_makes_a_suspect(stage: Stage) -> None:
    stage.up()
    stage.take(0, "t:7")
    stage.take(1, "u:7")
    stage.pool.become(stage.pool.observed.with_slot(0, is_killed=True))
    for slot in (0, 1):
        worker_ended(stage.pool, slot, 9, 4.0)
    assert stage.suspects() == (("t:7", 1, "SIGKILL"), ("u:7", 0, "SIGKILL"))


# What the system refuses


def test_a_slot_that_backs_off_goes_on_backing_off_while_the_system_refuses_a_descriptor(stage: Stage) -> None:
    stage.up()
    worker_ended(stage.pool, 0, 9, 5.0)
    stage.launcher.refusals = 2
    pauses = []
    for _ in range(2):
        due_at = stage.pool.observed.slots[0].due_at
        stage.turn(due_at)
        slot = stage.pool.observed.slots[0]
        assert slot.state is SlotState.BACKING_OFF
        pauses.append(slot.due_at - due_at)
    assert 0 < pauses[0] < pauses[1]
    stage.turn(stage.pool.observed.slots[0].due_at)
    assert stage.pool.observed.slots[0].state is SlotState.STARTING
    assert [fact.name for fact in stage.facts].count("worker_not_forked") == 2


def test_a_zygote_that_the_system_refuses_is_tried_again_later(stage: Stage) -> None:
    stage.launcher.refusals = 1
    stage.turn(0.0)
    assert stage.pool.observed.zygote(1).state is ZygoteState.ABSENT
    stage.turn(stage.pool.observed.zygote(1).due_at)
    assert stage.pool.observed.zygote(1).state is ZygoteState.LOADING


def test_a_pool_that_is_reloaded_while_it_imports_first_runs_and_takes_the_newest_then(stage: Stage) -> None:
    stage.turn(0.0)
    for now in (1.0, 2.0):
        stage.pool.change(stage.pool.newest_entry, now)
        stage.turn(now)
    assert list(stage.pool.zygotes) == [1]
    stage.zygote_says(Hello(__version__), LOADED, now=3.0)
    stage.turn(3.0)
    assert (list(stage.pool.zygotes), list(stage.pool.workers)) == ([1, 3], [0])


def test_a_first_import_that_fails_fails_no_pool_of_which_a_newer_edition_is_wanted(stage: Stage) -> None:
    stage.turn(0.0)
    stage.pool.change(stage.pool.newest_entry, 1.0)
    stage.zygote_says(Hello(__version__), LoadFailed("no", ""), now=2.0)
    stage.turn(2.0)
    assert (stage.pool.observed.state, list(stage.pool.zygotes)) == (PoolState.LOADING, [1, 2])


def test_an_import_that_nobody_needs_any_more_is_killed_without_an_error(stage: Stage) -> None:
    stage.up()
    for now in (1.0, 2.0):
        stage.pool.change(stage.pool.newest_entry, now)
        stage.turn(now)
    zygote_ended(stage.pool, 2, 9, 2.0)
    assert (stage.facts[-1].name, stage.facts[-1].level, stage.pool.last_error) == ("zygote_ended", Level.INFO, None)


def test_a_change_whose_process_the_system_keeps_refusing_is_taken_back_and_said_meanwhile(stage: Stage) -> None:
    stage.up()
    stage.pool.change(stage.pool.newest_entry, 1.0)
    stage.launcher.refusals = history.REFUSALS_THAT_TELL
    stage.turn(1.0)
    (problem,) = pool_status(stage.pool, 1.0).problems
    assert problem.startswith("g/a: no process can be executed: the system refuses it (Too many open files): raise")
    for _ in range(history.REFUSALS_THAT_TELL - 1):
        stage.turn(stage.pool.observed.zygote(2).due_at)
    assert stage.pool.observed.rejected == 2
    assert "its process cannot be executed" in stage.pool.observed.reason
    assert stage.facts[-1].name == "change_taken_back"


def test_a_failed_pool_says_when_it_is_tried_again_and_how_that_is_asked_for(stage: Stage) -> None:
    stage.up()
    for slot in (0, 1):
        worker_ended(stage.pool, slot, 9, 5.0)
    stage.pool.become(history.failed(stage.pool.observed, 5.0, reason="no partner\nmore", traceback=""))
    status = pool_status(stage.pool, 17.0)
    assert [worker.starts_in_s for worker in status.workers] == [history.TRY_EVERY_S - 12.0, None]
    again = "it is tried again in 48 s, or by consumerd restart g/a"
    assert status.problems == [f"g/a has failed; {again}: no partner"]
    stage.turn(5.0 + history.TRY_EVERY_S)
    (tried,) = pool_status(stage.pool, 66.0).problems
    assert tried.startswith("g/a has failed; it is tried again now, or by")
    assert [worker.starts_in_s for worker in pool_status(stage.pool, 66.0).workers] == [None, 59.0]


def test_a_pool_whose_first_process_the_system_keeps_refusing_has_failed(stage: Stage) -> None:
    stage.launcher.refusals = history.REFUSALS_THAT_TELL
    for _ in range(history.REFUSALS_THAT_TELL):
        stage.turn(stage.pool.observed.zygote(1).due_at)
    assert stage.pool.observed.state is PoolState.FAILED
    assert stage.facts[-1].name == "pool_failed"


def test_a_worker_that_its_zygote_could_not_fork_waits_and_status_says_why(stage: Stage) -> None:
    stage.up()
    worker_ended(stage.pool, 0, 9, 5.0)
    for round_ in range(history.REFUSALS_THAT_TELL):
        stage.turn(stage.pool.observed.slots[0].due_at)
        generation = stage.pool.observed.slots[0].generation
        stage.zygote_says(NotForked(0, generation, f"no room {round_}"), now=5.0)
    assert stage.pool.observed.state is PoolState.UP
    status = pool_status(stage.pool, 5.0)
    assert f"g/a: worker 0 cannot be started: no room {round_}" in status.problems
    assert [worker.is_refused for worker in status.workers] == [True, False]
    assert stage.launcher.killed == []
    stage.fork(0, stage.pool.observed.slots[0].due_at)
    assert pool_status(stage.pool, 5.0).problems == []


def test_a_first_worker_that_is_always_refused_ends_the_trial(stage: Stage) -> None:
    stage.up()
    stage.pool.change(stage.pool.newest_entry, 1.0)
    perform(stage.pool, ExecuteZygote(2), 1.0)
    for message in (Hello(__version__), LOADED):
        hear_zygote(stage.pool, Arrival(Origin(NAME, edition=2), message), 1.0)
    stage.pool.become(history.asked_to_leave(stage.pool.observed, 1, 1.0, deadline=20.0))
    worker_ended(stage.pool, 1, 0, 2.0)
    stage.launcher.refusals = history.REFUSALS_THAT_TELL
    for _ in range(history.REFUSALS_THAT_TELL):
        stage.turn(max(2.0, stage.pool.observed.slots[1].due_at))
    assert stage.pool.observed.rejected == 2
    assert "its first worker cannot be started: the system refuses it" in stage.pool.observed.reason


@pytest.mark.parametrize("has_come", [False, True])
def test_a_worker_for_whose_pidfd_there_is_no_room_is_let_go_and_its_zygote_not_accused(
    stage: Stage, has_come: bool
) -> None:
    perform(stage.pool, ExecuteZygote(1), 0.0)
    stage.zygote_says(Hello(__version__), LOADED)
    perform(stage.pool, ForkWorker(0, 1), 0.0)
    stage.launcher.refusals = 1
    stage.zygote_says(Forked(0, 1, WORKER_PID), fds=(os.eventfd(0),) if has_come else ())
    assert stage.pool.observed.slots[0].state is SlotState.BACKING_OFF
    assert stage.launcher.killed == []
    stage.launcher.far_ends[1].settimeout(5)
    assert stage.launcher.far_ends[1].recv(1) == b"", "the worker has not been let go"


# What a zygote says


@pytest.mark.parametrize("last_words", [LOADED, LoadFailed("no module"), Hello("0.0.0"), Hello(__version__)])
def test_a_zygote_of_another_version_is_killed_and_not_listened_to_any_more(stage: Stage, last_words: Message) -> None:
    stage.turn(0.0)
    stage.zygote_says(Hello("0.0.0"), now=1.0)
    assert stage.launcher.killed == [ZYGOTE_PID]
    stage.zygote_says(last_words, now=1.0)
    pool = stage.pool.observed
    assert (pool.state, pool.zygote(1).state) == (PoolState.FAILED, ZygoteState.LEAVING)
    assert "version 0.0.0" in pool.reason
    stage.turn(100.0)
    assert stage.launcher.killed == [ZYGOTE_PID], "killed twice"
    assert [fact.name for fact in stage.facts].count("pool_failed") == 1


def test_a_consumer_that_must_not_run_ends_the_master_at_its_start_and_later_only_its_edition(stage: Stage) -> None:
    stage.refusal = "not durable enough"
    perform(stage.pool, ExecuteZygote(1), 0.0)
    stage.zygote_says(Hello(__version__), LOADED)
    assert stage.pool.refusal == "not durable enough"
    stage.pool.refusal = None
    stage.pool.change(stage.pool.newest_entry, 1.0)
    perform(stage.pool, ExecuteZygote(2), 1.0)
    hear_zygote(stage.pool, Arrival(Origin(NAME, edition=2), LOADED), 1.0)
    assert stage.pool.refusal is None
    assert (stage.pool.observed.state, stage.pool.observed.rejected) == (PoolState.UP, 2)
    assert stage.facts[-1].name == "change_taken_back"


@pytest.mark.parametrize("message", [LOADED, LoadFailed("no module")])
def test_a_zygote_that_says_twice_how_its_import_ended_is_killed(stage: Stage, message: Message) -> None:
    stage.turn(0.0)
    stage.zygote_says(Hello(__version__), LOADED, message)
    assert stage.pool.observed.state is PoolState.UP
    assert stage.launcher.killed == [ZYGOTE_PID]
    assert stage.facts[-1].name == "zygote_broken"


def test_a_zygote_that_loads_as_its_pool_stops_changes_nothing_of_the_stop(stage: Stage) -> None:
    stage.turn(0.0)
    stage.pools.want_stop(1.0)
    stage.turn(1.0)
    stage.turn(1.0)
    stage.zygote_says(LOADED, now=1.0)
    stage.turn(1.0)
    assert stage.pool.observed.state is PoolState.STOPPING
    assert stage.launcher.killed == [ZYGOTE_PID]


def test_a_dead_worker_is_not_up_also_before_its_zygote_tells(stage: Stage) -> None:
    stage.up()
    pidfd = stage.pool.workers[1].pidfd
    assert pidfd is not None
    os.eventfd_write(pidfd, 1)
    status = pool_status(stage.pool, 0.0)
    assert [worker.state for worker in status.workers] == ["running", "ended"]
    assert status.problems == ["g/a: 1 of 2 workers are up"]


# Why workers die


def told(stage: Stage) -> LastError:
    error = stage.pool.last_error
    assert error is not None
    return error


def test_the_end_of_a_worker_does_not_hide_what_it_said_before(stage: Stage) -> None:
    stage.up()
    stage.worker_says(0, Reported("consume_failed", "error", {"error": "RuntimeError: no db"}))
    worker_ended(stage.pool, 0, 3 << 8, 5.0)
    assert told(stage).fields["error"] == "RuntimeError: no db"
    worker_ended(stage.pool, 1, 9, 6.0)
    assert (told(stage).name, told(stage).fields) == ("worker_ended", {"worker_id": 1, "end": "SIGKILL"})


def test_what_a_worker_ended_of_is_over_once_its_successor_is_proven(stage: Stage) -> None:
    stage.up()
    stage.worker_says(0, Reported("consume_failed", "error", {"error": "there is no topic logn"}))
    look_for_proof(stage.pool, 100.0)
    worker_ended(stage.pool, 0, SourceRefusedError.exit_code << 8, 100.0)
    stage.fork(0, 101.0)
    look_for_proof(stage.pool, PROVEN_AFTER_S - 1)
    assert told(stage).fields["error"] == "there is no topic logn"
    look_for_proof(stage.pool, PROVEN_AFTER_S)
    assert stage.pool.last_error is None


def test_the_flight_record_has_what_a_worker_said_it_ended_of(stage: Stage) -> None:
    stage.up()
    said = {"error": "RuntimeError: no db", "traceback": "where it was raised"}
    stage.worker_says(0, Reported("consume_failed", "error", said))
    assert stage.pool.workers[0].told_end() == ("RuntimeError: no db", "where it was raised")
    worker_ended(stage.pool, 0, 1 << 8, 5.0)
    assert stage.pool.last_ends[0].how == "exit 1: RuntimeError: no db"
    stage.worker_says(1, Reported("task_failed", "warning", {"error": "ValueError: of a task that it handled before"}))
    worker_ended(stage.pool, 1, 9, 6.0)
    assert stage.pool.last_ends[1].how == "SIGKILL"


def test_a_worker_is_wary_where_the_one_before_it_ended_while_nothing_answered_its_tasks(stage: Stage) -> None:
    stage.up()
    stage.board(1).words[FLAGS] = BoardFlag.DESTINATION_AWAY | BoardFlag.SOURCE_AWAY
    for slot in (0, 1):
        worker_ended(stage.pool, slot, 1 << 8, 1.0)
        stage.fork(slot, 2.0)
    assert [fork.is_wary for fork in stage.launcher.forks] == [False, False, False, True]
    stage.pool.become(history.asked_to_leave(stage.pool.observed, 1, 3.0, deadline=28.0))
    worker_ended(stage.pool, 1, 0, 4.0)
    stage.fork(1, 5.0)
    assert not stage.launcher.forks[-1].is_wary


def test_the_end_of_a_worker_whose_task_an_operator_cancelled_is_kept_and_no_error(stage: Stage) -> None:
    stage.up()
    cancelled = Condemned("cancelled by an operator", 1.0, 2.0, is_asked=True)
    stage.pool.become(history.condemned(stage.pool.observed, 0, cancelled))
    worker_ended(stage.pool, 0, 9, 2.0)
    assert (stage.facts[-1].name, stage.facts[-1].level) == ("worker_ended", "info")
    assert stage.pool.last_error is None
    assert stage.pool.last_ends[0].how == "SIGKILL: cancelled by an operator"


def test_a_worker_is_told_to_be_ready_once_its_zygote_has_named_it(stage: Stage) -> None:
    perform(stage.pool, ExecuteZygote(1), 0.0)
    stage.zygote_says(Hello(__version__), LOADED)
    perform(stage.pool, ForkWorker(0, 1), 0.0)
    stage.worker_says(0, Ready())
    assert stage.pool.observed.slots[0].state is SlotState.STARTING
    stage.zygote_says(Forked(0, 1, WORKER_PID), fds=(os.eventfd(0),))
    assert (stage.facts[-1].name, stage.facts[-1].fields["pid"]) == ("worker_ready", WORKER_PID)


def test_the_end_of_a_zygote_is_an_error_of_its_pool(stage: Stage) -> None:
    stage.up()
    zygote_ended(stage.pool, 1, 11, 5.0)
    assert (told(stage).name, told(stage).fields) == ("zygote_ended", {"end": "SIGSEGV"})


# What is away


def test_one_worker_that_is_back_does_not_speak_for_another(stage: Stage) -> None:
    stage.up()
    stage.worker_says(0, reported("store_away"))
    stage.worker_says(1, reported("store_away"))
    earliest = stage.flags
    stage.worker_says(1, reported("store_back"))
    assert stage.flags == earliest
    stage.worker_says(0, reported("store_back"))
    assert stage.flags == []


def test_what_is_away_is_away_since_the_earliest_report_of_those_who_run(stage: Stage) -> None:
    stage.up()
    for slot, since in ((0, 50.0), (1, 40.0)):
        stage.pool.workers[slot].away["source"] = Flag(away="source", since=since, error=f"no table, {since:.0f}")
    assert stage.flags == [Flag(away="source", since=40.0, error="no table, 40")]


def test_what_a_dead_worker_found_away_goes_with_it(stage: Stage) -> None:
    stage.up()
    stage.worker_says(0, reported("store_away"))
    worker_ended(stage.pool, 0, 9, 5.0)
    assert stage.flags == []
    stage.fork(0, 5.0)
    assert stage.flags == []


def test_what_is_away_is_a_problem_and_said_of_the_worker_that_reported_it(stage: Stage) -> None:
    stage.up()
    stage.worker_says(1, reported("source_away"))
    status = pool_status(stage.pool, 0.0)
    assert [worker.flags for worker in status.workers] == [[], ["source_away"]]
    since = moment(status.flags[0].since)
    assert status.problems == [f"g/a: its source has been away since {since}: nobody answers"]


def test_what_was_away_leaves_nothing_behind_once_it_is_back(stage: Stage) -> None:
    stage.up()
    stage.worker_says(0, Reported("source_away", "error", {"error": "no broker"}))
    stage.worker_says(0, Reported("source_back", "info", {"away_s": 3.0}))
    status = pool_status(stage.pool, 0.0)
    assert (status.flags, status.last_error) == ([], None)


# The age of what was said


def test_the_lag_has_an_age(stage: Stage) -> None:
    stage.up()
    assert pool_status(stage.pool, 100.0).lag_age_s is None
    stage.worker_says(0, Lag(((3, 7, 1.5, 20),)), now=60.0)
    status = pool_status(stage.pool, 100.0)
    assert (status.lag, status.lag_age_s) == ([ShardStatus(shard=3, tasks=7, oldest_s=1.5, position=20)], 40.0)


def test_what_is_parked_now_is_as_a_worker_counted_it_and_has_an_age(stage: Stage) -> None:
    stage.up()
    assert pool_status(stage.pool, 100.0).parked_now is None
    stage.worker_says(0, ParkedNow(2, 5), now=60.0)
    assert pool_status(stage.pool, 100.0).parked_now == ParkedCounts(waiting=2, dead=5, age_s=40.0)


def test_tasks_that_nobody_can_take_are_a_problem_and_those_of_later_a_number(stage: Stage) -> None:
    stage.up()
    stage.worker_says(
        0, Lag(((0, 7, 1.5, 20),), 12, ("3 rows of tasks can never be claimed: 3 without due_at",)), now=60.0
    )
    assert pool_status(stage.pool, 100.0).later == 12
    assert "g/a: 3 rows of tasks can never be claimed: 3 without due_at" in problems(stage, 100.0)


def problems(stage: Stage, now: float) -> list[str]:
    return pool_status(stage.pool, now).problems


def test_an_import_that_does_not_end_is_a_problem_that_names_the_process(stage: Stage) -> None:
    stage.turn(0.0)
    assert problems(stage, 29.0) == ["g/a is loading, for 29 s"]
    [problem] = problems(stage, 31.0)
    assert "has not ended for 31 s" in problem
    assert str(ZYGOTE_PID) in problem
    assert pool_status(stage.pool, 31.0).zygote == ZygoteStatus(state="loading", since_s=31.0, pid=ZYGOTE_PID)


def test_an_import_that_does_not_end_is_a_problem_also_while_the_workers_run(stage: Stage) -> None:
    stage.up()
    zygote_ended(stage.pool, 1, 9, 50.0)
    stage.turn(stage.pool.observed.zygote(1).due_at)
    assert problems(stage, 79.0) == []
    [problem] = problems(stage, 81.0)
    assert str(ZYGOTE_PID) in problem


def test_a_pool_without_a_zygote_is_not_said_to_import(stage: Stage) -> None:
    assert problems(stage, 31.0) == ["g/a is loading, for 31 s"]


def test_a_board_full_of_nonsense_is_not_believed(stage: Stage) -> None:
    stage.up()
    stage.pool.become(stage.pool.observed.with_slot(0, pid=WORKER_PID, refused=""))
    for word in range(11):
        stage.board(0).words[word] = 7
    status = pool_status(stage.pool, 0.0)
    assert status.handled == 0


def test_a_process_that_a_zygote_has_not_forked_is_not_taken_and_the_zygote_ends(stage: Stage) -> None:
    perform(stage.pool, ExecuteZygote(1), 0.0)
    stage.zygote_says(Hello(__version__), LOADED)
    perform(stage.pool, ForkWorker(0, 1), 0.0)
    stage.launcher.strangers.add(1)
    stage.zygote_says(Forked(0, 1, 1), fds=(os.eventfd(0),))
    assert stage.pool.workers[0].pid is None
    assert stage.launcher.killed == [ZYGOTE_PID]
    assert [fact.name for fact in stage.facts][-1] == "zygote_broken"
