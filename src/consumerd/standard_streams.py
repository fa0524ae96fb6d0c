"""Standard descriptors and streams that can be relied on. Imports nothing of ours, and nothing heavy.

A process may be started with any of the descriptors 0, 1 and 2 closed; the next file that it opens would take the
number, and what is meant for stdout would go there. The reader of an output may leave, the disk under it may be full,
and user code may put anything in the place of `sys.stdout`. None of that may change what a process does.
"""

from __future__ import annotations

import contextlib
import io
import locale
import os
import select
import sys
from typing import Any, TextIO

STDOUT, STDERR = 1, 2
_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


class LenientFile(io.FileIO):
    """A descriptor that drops what it cannot write.

    lost: the first error, which is also told on stderr, unless it is of a kind in `hushed`.
    """

    def __init__(self, fd: int, hushed: tuple[type[OSError], ...] = ()) -> None:
        super().__init__(fd, "wb", closefd=False)
        self._hushed = hushed
        self.lost: OSError | None = None

    def write(self, data: Any, /) -> int:  # whatever has bytes
        """Write, waiting as long as it takes where the descriptor does not block; all of it counts as written."""
        while True:
            written: int | None  # None: not now
            try:
                written = super().write(data)
            except OSError as error:
                self._note(error)
                return memoryview(data).nbytes
            if written is not None:
                return written
            poller = select.poll()  # select() knows no descriptor above 1,023
            poller.register(self.fileno(), select.POLLOUT)
            poller.poll()

    def _note(self, error: OSError) -> None:
        if self.lost is not None:
            return
        self.lost = error
        if self.fileno() != STDERR and not isinstance(error, self._hushed):
            _tell(f"what process {os.getpid()} writes to stdout is lost: {error.strerror}")


def open_standard_descriptors() -> None:
    """Open /dev/null in the place of each standard descriptor that is closed."""
    for fd in range(STDERR + 1):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it takes the lowest number that is free


def make_streams_lenient(hushed: tuple[type[OSError], ...] = ()) -> None:
    """Put streams that never raise in the place of this process's own, before any code of others runs in it.

    A character that the encoding does not have is written as its escape.
    """
    open_standard_descriptors()
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - it lives as long as the process
    sys.stdout = _lenient(STDOUT, sys.stdout, hushed)
    sys.stderr = _lenient(STDERR, sys.stderr, hushed)
    vars(sys).update(__stdout__=sys.stdout, __stderr__=sys.stderr)  # user code puts these back


def lost_output() -> OSError | None:
    """The error by which something that was written to `sys.stdout` is lost; None where nothing is."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, LenientFile) else None


def shown() -> int:
    """The exit code of a command that has printed its answer: 1 if that is lost, but not if its reader has left."""
    lost = lost_output()
    return 0 if lost is None or isinstance(lost, BrokenPipeError) else 1


def say(text: str, fd: int = STDERR) -> None:
    """Write a text of our own, whatever user code has put in the place of the streams."""
    flush_streams()
    with io.BufferedWriter(LenientFile(fd)) as file:
        file.write(text.encode(locale.getencoding(), "backslashreplace"))


def flush_streams() -> None:
    """Flush the standard streams, those that user code has put in their place too, as far as that is possible."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):  # None, closed, or an object of the user's that is no stream
            stream.flush()  # type: ignore[union-attr]  # None is suppressed too


def drop_gone_outputs() -> bool:
    """Put /dev/null in the place of stdout and of stderr where their readers have left; whether one has."""
    poller = select.poll()
    for fd in (STDOUT, STDERR):
        poller.register(fd, 0)
    gone = [fd for fd, events in poller.poll(0) if events & _GONE]
    for fd in gone:
        discard(fd)
    if gone:
        _tell(f"nobody reads what process {os.getpid()} writes any more: it is dropped")
    return bool(gone)


def discard(fd: int) -> None:
    """Let what is written to this descriptor from now on go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, fd)
    os.close(nowhere)


def _lenient(fd: int, before: TextIO | None, hushed: tuple[type[OSError], ...]) -> io.TextIOWrapper:
    encoding = "utf-8" if before is None else before.encoding
    file = io.BufferedWriter(LenientFile(fd, hushed))
    return io.TextIOWrapper(file, encoding=encoding, errors="backslashreplace", line_buffering=True)


def _tell(sentence: str) -> None:
    with contextlib.suppress(OSError):
        os.write(STDERR, f"consumerd: {sentence}\n".encode())
