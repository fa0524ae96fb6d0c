"""The file lock between threads of one process; between processes it is tested with real ones."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from consumerd.database.lock import FileLock


def test_a_free_lock_is_taken_at_once_and_again_after_its_release(state_dir: Path) -> None:
    lock = FileLock(state_dir / "lock")
    for _ in range(3):
        assert lock.acquire(0)
        lock.release()
    lock.close()


def test_two_threads_never_hold_it_at_once(state_dir: Path) -> None:
    lock = FileLock(state_dir / "lock")
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(200):
            assert lock.acquire(30)
            inside.append(1)
            most.append(len(inside))
            inside.pop()
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(most) == 800
    assert max(most) == 1
    lock.close()


def test_a_thread_gives_up_in_time(state_dir: Path) -> None:
    lock = FileLock(state_dir / "lock")
    assert lock.acquire(0)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(lock.acquire(0.01)))
    thread.start()
    thread.join(30)
    assert answers == [False]
    lock.release()
    lock.close()


def test_closing_a_lock_that_is_held_leaves_it_held(state_dir: Path) -> None:
    lock = FileLock(state_dir / "lock")
    assert lock.acquire(0)
    lock.close()
    lock.release()
    lock.close()
    assert lock.acquire(0)
    lock.release()
    lock.close()


def test_a_file_that_cannot_be_made_is_an_error(state_dir: Path) -> None:
    lock = FileLock(state_dir / "gone" / "lock")
    with pytest.raises(FileNotFoundError):
        lock.acquire(1)
    (state_dir / "gone").mkdir()
    assert lock.acquire(1)
    lock.release()
    lock.close()
