import os
from collections.abc import Iterator

import pytest

from consumerd.errors import WireError
from consumerd.wire.board import CURSOR, FLAGS, HANDLED, MAGIC_WORD, SHARD, STATE, Board, BoardFlag, WorkerState


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


@pytest.mark.parametrize(("word", "value"), [(MAGIC_WORD, 0), (MAGIC_WORD, 0xC0_5D_00_02), (STATE, 4)])
def test_a_board_that_was_written_over_is_refused(boards: tuple[Board, Board], word: int, value: int) -> None:
    boards[1].words[word] = value
    with pytest.raises(WireError, match="nonsense"):
        boards[0].read()
