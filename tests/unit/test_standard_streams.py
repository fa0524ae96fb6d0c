"""Streams that never raise, and descriptors that are open."""

from __future__ import annotations

import io
import os
import threading

import pytest

from consumerd.standard_streams import LenientFile, flush_streams, lost_output


def test_what_nobody_reads_is_dropped_and_the_error_kept() -> None:
    read_end, write_end = os.pipe()
    file = LenientFile(write_end, hushed=(BrokenPipeError,))
    assert file.write(b"one") == 3
    assert (os.read(read_end, 10), file.lost) == (b"one", None)
    os.close(read_end)
    assert file.write(b"three") == 5
    assert isinstance(file.lost, BrokenPipeError)
    os.close(write_end)
    assert file.write(memoryview(b"five!")) == 5
    assert isinstance(file.lost, BrokenPipeError), "the first error counts"


def test_the_first_error_is_told_once_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a descriptor is wanted
        file = LenientFile(full.fileno())
        for _ in range(3):
            file.write(b"x")
    sentence = f"consumerd: what process {os.getpid()} writes to stdout is lost: No space left on device\n"
    assert capfd.readouterr().err == sentence


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    stream, data = io.BufferedWriter(LenientFile(write_end)), b"x" * 1_000_000
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.extend(iter(lambda: os.read(read_end, 65_536), b"")), daemon=True)
    reader.start()
    stream.write(data)
    stream.flush()
    os.close(write_end)
    reader.join()
    os.close(read_end)
    assert b"".join(read) == data


@pytest.mark.parametrize("is_closed", [False, True])
def test_streams_of_any_kind_can_be_flushed(monkeypatch: pytest.MonkeyPatch, is_closed: bool) -> None:
    stream = io.StringIO()
    if is_closed:
        stream.close()
    monkeypatch.setattr("sys.stdout", stream if is_closed else None)
    monkeypatch.setattr("sys.stderr", object())
    flush_streams()
    assert lost_output() is None
