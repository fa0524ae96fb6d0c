import os
from collections.abc import Iterator

import pytest

from consumerd.errors import WireError
from consumerd.wire.board import (
    CURSOR,
    FLAGS,
    HANDLED,
    IDENTITIES_BYTES,
    IDENTITIES_WORD,
    MAGIC_WORD,
    SHARD,
    STATE,
    Board,
    BoardFlag,
    Identities,
    WorkerState,
)


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
    worker.words[STATE] = WorkerState.RUNNING
    worker.words[SHARD], worker.words[CURSOR], worker.words[HANDLED] = 3, 0, 12
    worker.words[FLAGS] = BoardFlag.SOURCE_AWAY
    reading = master.read()
    assert (reading.state, reading.shard, reading.cursor, reading.handled) == (WorkerState.RUNNING, 3, 0, 12)
    assert reading.flags == BoardFlag.SOURCE_AWAY


def test_a_new_board_has_nothing_in_hand(boards: tuple[Board, Board]) -> None:
    reading = boards[0].read()
    assert (reading.state, reading.shard, reading.cursor) == (WorkerState.ABSENT, None, None)


def test_the_task_in_hand_is_the_one_at_the_cursor(boards: tuple[Board, Board]) -> None:
    master, worker = boards
    identities = Identities(worker.words)
    assert identities.write(b'["t:", 7, 8, 9]')
    assert master.task_in_hand() is None
    worker.words[CURSOR] = 2
    assert master.task_in_hand() == "t:9"
    assert identities.write(b'"u:"')
    assert master.task_in_hand() == "u:2"


def test_what_does_not_fit_leaves_no_task_in_hand(boards: tuple[Board, Board]) -> None:
    master, worker = boards
    identities = Identities(worker.words)
    worker.words[CURSOR] = 2
    assert identities.write(b'"u:"')
    assert not identities.write(b"x" * (IDENTITIES_BYTES + 1))
    assert master.task_in_hand() is None
    assert identities.write(b'"' + b"x" * (IDENTITIES_BYTES - 2) + b'"')
    assert len(master.task_in_hand() or "") == IDENTITIES_BYTES - 1
    worker.words[IDENTITIES_WORD] = 2**64 - 1
    assert master.task_in_hand() is None


@pytest.mark.parametrize(("word", "value"), [(MAGIC_WORD, 0), (MAGIC_WORD, 0xC0_5D_00_02), (STATE, 4)])
def test_a_board_that_was_written_over_is_refused(boards: tuple[Board, Board], word: int, value: int) -> None:
    boards[1].words[word] = value
    with pytest.raises(WireError, match="nonsense"):
        boards[0].read()


def test_flags_are_read_whatever_bits_a_crash_has_left(boards: tuple[Board, Board]) -> None:
    master, worker = boards
    for flags in (0, 1, 2, 3, 2**63 + 1):
        worker.words[FLAGS] = flags
        assert master.read().flags == BoardFlag(flags)


def test_nobody_makes_a_board_shorter_under_its_reader() -> None:
    board, fd = Board.create()
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)
    board.close()
