"""The flight recorder: what was noted last is read back, and what is torn is told, never shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumerd.wire.board import RECORDER_AT_BYTE, Board
from consumerd.wire.board_writer import BoardWriter
from consumerd.wire.figures.counters import Counter
from consumerd.wire.figures.recorder import (
    ENTRIES,
    ENTRY_BYTES,
    ID_BYTES,
    QUICK_S,
    Ended,
    Ran,
    Recorder,
    Recording,
    recording_in,
)

WORDS = st.integers(0, 2**64 - 1)
ENDED = st.builds(
    Ended,
    at=st.integers(0, 2**31).map(float),
    outcome=st.none() | st.sampled_from(Counter),
    shard=WORDS,
    first=WORDS,
    last=WORDS,
    ran=st.builds(Ran, st.integers(1, 10**6).map(float), st.booleans()),
    task_id=st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    tasks=st.integers(1, 2**32 - 1),
)


def as_kept(ended: Ended) -> Ended:
    """With its id as far as there is room; of a long one the begin and the end."""
    task_id = ended.task_id
    if task_id is None or len(task_id.encode()) <= ID_BYTES:
        return ended
    board = Board.private()
    Recorder(board.words).note(ended)
    (kept,) = recording_in(board.words).ended
    assert kept.task_id is not None
    head, tail = kept.task_id.split("…", 1) if "…" not in task_id else (task_id[:1], task_id[-1:])
    assert task_id.startswith(head)
    assert task_id.endswith(tail)
    assert len(kept.task_id.encode()) <= ID_BYTES
    return ended._replace(task_id=kept.task_id)


@given(st.lists(ENDED, max_size=ENTRIES + 10))
def test_the_last_entries_are_read_back_in_their_order(noted: list[Ended]) -> None:
    board = Board.private()
    writer = BoardWriter(board.words)
    for ended in noted:
        writer.note_ended(ended)
    assert recording_in(board.words) == Recording(tuple(map(as_kept, noted[-ENTRIES:])), 0)


@given(st.lists(ENDED, min_size=1, max_size=2 * ENTRIES), st.data())
def test_an_entry_that_was_being_written_is_told_and_the_others_stand(noted: list[Ended], data: st.DataObject) -> None:
    """However much of it has come to the board: at both ends, or in the middle, as a processor may write it."""
    before, after = Board.private(), Board.private()
    for board, ended in ((before, noted[:-1]), (after, noted)):
        recorder = Recorder(board.words)
        for each in ended:
            recorder.note(each)
    at = RECORDER_AT_BYTE + len(noted) % ENTRIES * ENTRY_BYTES
    old, new = (bytes(board.words.cast("B")[at : at + ENTRY_BYTES]) for board in (before, after))
    come = data.draw(st.lists(st.booleans(), min_size=ENTRY_BYTES, max_size=ENTRY_BYTES))
    mixed = bytes(is_new if has_come else is_old for is_new, is_old, has_come in zip(new, old, come, strict=True))
    before.words.cast("B")[at : at + ENTRY_BYTES] = mixed
    found, whole = recording_in(before.words), recording_in(after.words)
    if mixed == new:
        assert found == whole
    elif mixed == old:
        assert found.torn == 0
    else:
        assert (found.ended, found.torn) == (whole.ended[:-1], 1)


QUICK = st.builds(
    lambda ended, outcome, at, ran: ended._replace(outcome=outcome, at=at, ran=Ran(ran), shard=3, task_id=None),
    ENDED,
    st.sampled_from([None, None, None, Counter.DEAD]),
    st.integers(0, 80).map(lambda eighths: eighths / 8),
    st.sampled_from([0.0, 0.0005, 0.0005, 0.002]),
)


@given(st.lists(QUICK, max_size=ENTRIES), st.lists(st.booleans(), min_size=ENTRIES, max_size=ENTRIES))
def test_quick_tasks_have_one_entry_together_however_they_come(noted: list[Ended], are_last: list[bool]) -> None:
    noted = [each._replace(tasks=1 + each.tasks % 9) for each in sorted(noted, key=lambda each: each.at)]
    board, at_once = Board.private(), Board.private()
    recorder, steady = Recorder(board.words), Recorder(at_once.words)
    for each, rests in zip(noted, are_last, strict=False):
        recorder.note(each)
        steady.note(each)
        if rests:
            recorder.rest()
    recorder.rest()
    steady.rest()
    found = recording_in(board.words).ended
    assert found == recording_in(at_once.words).ended
    assert sum(each.tasks for each in found) == sum(each.tasks for each in noted)
    dead = [(each.at, each.tasks) for each in noted if each.outcome is not None]
    assert [(each.at, each.tasks) for each in found if each.outcome is not None] == dead
    slow = [(each.last, each.tasks) for each in noted if each.outcome is None and each.ran.seconds >= QUICK_S]
    assert [(each.last, each.tasks) for each in found if each.outcome is None and each.ran.seconds >= QUICK_S] == slow
    starts = [each.at for each in found]
    assert starts == sorted(starts)


@given(st.binary(max_size=4 * ENTRY_BYTES))
def test_nonsense_is_torn(nonsense: bytes) -> None:
    board = Board.private()
    board.words.cast("B")[RECORDER_AT_BYTE : RECORDER_AT_BYTE + len(nonsense)] = nonsense
    entries = [nonsense[start : start + ENTRY_BYTES] for start in range(0, len(nonsense), ENTRY_BYTES)]
    assert recording_in(board.words) == Recording((), sum(map(any, entries)))
