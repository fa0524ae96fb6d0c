import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from consumerd.errors import WireError
from consumerd.model.outcome import Dead, Retry
from consumerd.model.suspects import shown
from consumerd.model.task import Task, TaskId
from consumerd.testing.clock import ManualClock
from consumerd.wire.board import (
    ASKED,
    BOARD_BYTES,
    FAILED,
    FLAGS,
    IDENTITIES_BYTES,
    IDENTITIES_WORD,
    MAGIC_WORD,
    STACKS_AT_BYTE,
    STATE,
    Board,
    BoardFlag,
    Lane,
    WorkerState,
)
from consumerd.wire.board_writer import BoardWriter


@pytest.fixture
def boards() -> Iterator[tuple[Board, Board]]:
    """The master's view of a board, and the worker's."""
    master, fd = Board.create()
    worker = Board(fd)
    os.close(fd)
    yield master, worker
    master.close()
    worker.close()


def test_what_one_process_writes_another_reads(boards: tuple[Board, Board]) -> None:
    master, worker = boards
    clock = ManualClock()
    writer, now_ns = BoardWriter(worker.words, clock), int(clock.monotonic() * 1e9)
    writer.is_in(WorkerState.RUNNING)
    writer.lane.begin(3)
    writer.lane.take(0)
    writer.note_done(12)
    writer.stands(BoardFlag.SOURCE_AWAY)
    reading = master.read()
    assert (reading.state, reading.handled, reading.flags) == (WorkerState.RUNNING, 12, BoardFlag.SOURCE_AWAY)
    assert reading.busy == (Lane(busy_since_ns=now_ns, shard=3, cursor=0),)


def test_a_retry_that_a_handler_asks_for_is_never_among_the_failures(boards: tuple[Board, Board]) -> None:
    """Whoever looks between two words that are written would else see one failure that is gone with the next look."""
    master, worker = boards
    writer = BoardWriter(worker.words)
    writer.note_outcome(Retry(after=1.0), was_tried=True, is_asked=True)
    writer.note_outcome(Dead("no"), was_tried=True)
    assert (master.words[FAILED], master.words[ASKED]) == (1, 1)
    assert (master.read().failed, master.read().asked) == (1, 1)


def test_a_worker_that_rests_is_on_no_task_and_an_attempt_of_none_makes_no_progress(
    boards: tuple[Board, Board],
) -> None:
    master, worker = boards
    writer = BoardWriter(worker.words)
    writer.lane.begin(3)
    writer.lane.take(-1)
    writer.lane.attempt_goes_on()
    writer.lane.note_crashes(2)
    (lane,) = master.read().busy
    assert (lane.attempt_since_ns >= lane.busy_since_ns, lane.crashes) == (True, 2)
    writer.lane.rest()
    writer.lane.attempt_goes_on()
    assert master.read().busy == ()
    assert master.read().lanes == (replace(lane, busy_since_ns=0, cursor=None, crashes=0),)


def test_a_new_board_has_nothing_in_hand(boards: tuple[Board, Board]) -> None:
    reading = boards[0].read()
    assert (reading.state, reading.busy, reading.lanes) == (WorkerState.ABSENT, (), (Lane(),))


def ids(board: Board) -> list[str | None]:
    return [task_id for _, task_id in board.tasks_in_hand()]


def test_the_task_in_hand_is_the_one_at_the_cursor(boards: tuple[Board, Board]) -> None:
    master, worker = boards
    writer = BoardWriter(worker.words)
    writer.lane.begin(0)
    assert writer.identify(b'["t:", 7, 8, 9]')
    assert ids(master) == []
    writer.lane.take(2)
    assert ids(master) == ["t:9"]
    assert writer.identify(b'"u:"')
    writer.lane.take(2)
    assert ids(master) == ["u:2"]


def test_what_does_not_fit_leaves_no_task_in_hand(boards: tuple[Board, Board]) -> None:
    master, worker = boards
    writer = BoardWriter(worker.words)
    writer.lane.begin(0)
    assert writer.identify(b'"u:"')
    assert not writer.identify(b"x" * (IDENTITIES_BYTES + 1))
    writer.lane.take(2)
    assert ids(master) == [None]
    assert writer.identify(b'"' + b"x" * (IDENTITIES_BYTES - 2) + b'"')
    writer.lane.take(2)
    assert len(ids(master)[0] or "") == IDENTITIES_BYTES - 1
    worker.words[IDENTITIES_WORD] = 2**64 - 1
    assert ids(master) == [None]


LONG = "x" * 300
IDS = ["t:7", None, LONG, LONG[:-1] + "y", "é" * 127, "é" * 128, "a\0b", "\udcff"]


def test_a_worker_that_runs_several_tasks_says_which(boards: tuple[Board, Board]) -> None:
    """Also one of a long id, which a lane has no room for: it is told from others that begin as it does."""
    master, worker = boards
    writer = BoardWriter(worker.words, ManualClock())
    writer.lanes(len(IDS) + 1)
    assert ids(master) == []
    for number, task_id in enumerate(IDS):
        writer.lane_at(number).run(task(task_id, offset=number))
    found = master.tasks_in_hand()
    assert [lane.cursor for lane, _ in found] == list(range(len(IDS)))
    assert [task_id for _, task_id in found] == [None if each is None else shown(TaskId(each)) for each in IDS]
    assert len({*ids(master)}) == len(IDS)
    writer.lane_at(0).rest()
    assert ids(master)[0] is None
    writer.lane_at(0).run(task("a", offset=9))
    assert ids(master)[0] == "a"


def task(task_id: str | None, offset: int) -> Task:
    return Task(None if task_id is None else TaskId(task_id), offset, "t", 0, offset, b"")


@pytest.mark.parametrize(("word", "value"), [(MAGIC_WORD, 0), (MAGIC_WORD, 0xC0_5D_00_01), (STATE, 4)])
def test_a_board_that_was_written_over_is_refused(boards: tuple[Board, Board], word: int, value: int) -> None:
    boards[1].words[word] = value
    with pytest.raises(WireError, match="nonsense"):
        boards[0].read()


def test_flags_are_read_whatever_bits_a_crash_has_left(boards: tuple[Board, Board]) -> None:
    master, worker = boards
    for flags in (0, 1, 2, 3, 2**63 + 1):
        worker.words[FLAGS] = flags
        assert master.read().flags == BoardFlag(flags)


def test_stacks_are_those_that_were_written_since_they_were_asked_for() -> None:
    master, fd = Board.create()
    os.lseek(fd, STACKS_AT_BYTE, os.SEEK_SET)
    found = []
    for text in (b"first", b"second"):
        master.forget_stacks()
        os.write(fd, text)
        found.append(master.stacks())
    os.write(fd, b"x" * (BOARD_BYTES - os.lseek(fd, 0, os.SEEK_CUR)))
    master.forget_stacks()
    assert [*found, master.stacks()] == ["first", "second", ""]
    os.close(fd)
    master.close()


def test_nobody_makes_a_board_shorter_under_its_reader() -> None:
    board, fd = Board.create()
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)
    board.close()
