import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumerd.events.outlet import Outlet

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def outlet(pipe: Pipe) -> Iterator[Outlet]:
    outlet = Outlet(pipe[1], patience_s=0)
    yield outlet
    outlet.close()


def fill(outlet: Outlet) -> None:
    for size in (99, 0):
        while outlet.write(b"x" * size + b"\n"):
            pass
    outlet.take_dropped()


def empty(fd: int) -> bytes:
    os.set_blocking(fd, False)
    data = b""
    try:
        while chunk := os.read(fd, 65_536):
            data += chunk
    except BlockingIOError:
        return data
    return data


def test_lines_arrive_as_they_were_written(pipe: Pipe, outlet: Outlet) -> None:
    assert outlet.write(b"one\n")
    assert outlet.write(b"two\n")
    assert empty(pipe[0]) == b"one\ntwo\n"


def test_a_full_pipe_drops_lines_and_counts_them(pipe: Pipe, outlet: Outlet) -> None:
    fill(outlet)
    assert not outlet.write(b"lost\n")
    assert not outlet.write(b"lost\n")
    assert outlet.take_dropped() == 2
    assert outlet.take_dropped() == 0


def test_lines_are_whole_again_once_the_pipe_is_read(pipe: Pipe, outlet: Outlet) -> None:
    outlet.write(b"y" * 10_000 + b"\n")  # more than fits: its end is lost
    seen = empty(pipe[0])
    assert outlet.write(b"after\n")
    seen += empty(pipe[0])
    assert seen.splitlines()[-1] == b"after"
    assert len(seen.splitlines()) == 2


def test_the_others_who_share_the_pipe_are_not_made_non_blocking(pipe: Pipe, outlet: Outlet) -> None:
    outlet.write(b"line\n")
    assert os.get_blocking(pipe[1])


def test_a_file_is_written_where_its_other_writers_are(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb", buffering=0) as file:
        file.write(b"before\n")
        assert Outlet(file.fileno(), patience_s=0).write(b"line\n")
        file.write(b"after\n")
    assert path.read_bytes() == b"before\nline\nafter\n"


def test_a_file_that_takes_the_number_of_a_closed_output_is_not_written(tmp_path: Path) -> None:
    output = os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT)
    outlet = Outlet(output, patience_s=0)
    os.close(output)
    assert os.open(tmp_path / "stranger", os.O_WRONLY | os.O_CREAT) == output
    outlet.write(b"a line\n")
    outlet.close()
    os.close(output)
    assert [(tmp_path / name).read_bytes() for name in ("output", "stranger")] == [b"a line\n", b""]


def test_a_socket_that_nobody_reads_drops_lines() -> None:
    ours, theirs = socket.socketpair()
    outlet = Outlet(ours.fileno(), patience_s=0)
    assert outlet.write(b"line\n")
    fill(outlet)
    assert not outlet.write(b"lost\n")
    assert theirs.recv(5) == b"line\n"
    outlet.close()
    ours.close()
    theirs.close()


def test_a_pipe_that_nobody_will_ever_read_drops_lines_without_an_error() -> None:
    read_end, write_end = os.pipe()
    outlet = Outlet(write_end, patience_s=0)
    os.close(read_end)
    assert not outlet.write(b"lost\n")
    outlet.close()
    os.close(write_end)


def test_a_closed_descriptor_drops_lines_without_an_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    os.close(write_end)
    assert not Outlet(write_end, patience_s=0).write(b"lost\n")
