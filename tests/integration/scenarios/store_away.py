"""Ways to take the embedded parking store away from workers that have it open, and to give it back.

A file's mode stops no process of root, so `read_only` and `full` go by way of the file system, and need root.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FILE_SYSTEM_BYTES = 16 * 1024 * 1024
DATABASE = "parked.sqlite"


class CannotTakeAwayError(Exception):
    """This machine does not allow this way; the message says why, and what it takes."""


@dataclass(frozen=True)
class Thief:
    """Takes the store away, and gives it back; each once."""

    take: Callable[[], None]
    give_back: Callable[[], None]


@contextlib.contextmanager
def read_only(state_dir: Path) -> Iterator[Thief]:
    """The store's files and their folder become immutable: no write and no new file, not even by root."""
    _ensure_immutable_works(state_dir)

    def chattr(how: str) -> None:
        files = [str(file) for file in (*state_dir.glob("parked.*"), state_dir)]
        subprocess.run(["chattr", how, *files], check=True)

    try:
        yield Thief(lambda: chattr("+i"), lambda: chattr("-i"))
    finally:
        chattr("-i")


@contextlib.contextmanager
def full(state_dir: Path) -> Iterator[Thief]:
    """The state directory is a small file system of its own, which gets full."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={FILE_SYSTEM_BYTES},mode=700", "tmpfs", str(state_dir)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotTakeAwayError(f"cannot mount a small file system ({done.stderr.strip()}): run as root")
    filler = state_dir / "filler"
    try:
        yield Thief(lambda: _fill(filler), filler.unlink)
    finally:
        subprocess.run(["umount", "--lazy", str(state_dir)], check=True)


@contextlib.contextmanager
def replaced(state_dir: Path) -> Iterator[Thief]:
    """The store's file is moved away, and a folder stands in its place."""
    database, aside = state_dir / DATABASE, state_dir / "aside"

    def take() -> None:
        database.rename(aside)
        database.mkdir()

    def give_back() -> None:
        database.rmdir()
        aside.rename(database)

    yield Thief(take, give_back)


@contextlib.contextmanager
def held(state_dir: Path) -> Iterator[Thief]:
    """Somebody else is in a transaction that writes, and stays there: a shell that was left open, a backup."""
    database = state_dir / DATABASE
    with contextlib.ExitStack() as opened:

        def take() -> None:
            connection = opened.enter_context(contextlib.closing(sqlite3.connect(database, isolation_level=None)))
            connection.execute("BEGIN EXCLUSIVE")

        yield Thief(take, opened.close)


def _ensure_immutable_works(state_dir: Path) -> None:
    probe = state_dir.with_name(f"{state_dir.name}.probe")
    probe.touch()
    try:
        done = subprocess.run(["chattr", "+i", str(probe)], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CannotTakeAwayError("there is no chattr: install e2fsprogs") from error
    subprocess.run(["chattr", "-i", str(probe)], capture_output=True, check=False)
    probe.unlink()
    if done.returncode != 0:
        raise CannotTakeAwayError(f"no file can be made immutable ({done.stderr.strip()}): run as root on ext4")


def _fill(filler: Path) -> None:
    """Write until there is no room for one byte more."""
    filler_fd = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for size_bytes in (65_536, 4_096, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(filler_fd, b"\0" * size_bytes)
    finally:
        os.close(filler_fd)
