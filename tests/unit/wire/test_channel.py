import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumerd.errors import WireError
from consumerd.wire.channel import Channel
from consumerd.wire.json_text import encode
from consumerd.wire.messages import Fork, Hello, LoadFailed, Reported, Wake


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = map(Channel, socket.socketpair())
    yield one, other
    one.close()
    other.close()


def open_fds() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_a_message_and_its_descriptors_arrive_together(ends: tuple[Channel, Channel]) -> None:
    read_end, write_end = os.pipe()
    ends[0].send(Hello("1"))
    ends[0].send(Fork(3, 7, 1), (write_end,))
    ends[0].send(Wake())
    os.close(write_end)
    assert ends[1].receive(5) == (Hello("1"), ())
    received = ends[1].receive(5)
    assert received is not None
    message, (passed,) = received
    assert message == Fork(3, 7, 1)
    os.write(passed, b"x")
    os.close(passed)
    assert os.read(read_end, 10) == b"x"
    assert os.read(read_end, 10) == b""  # no other copy of the end is left anywhere
    os.close(read_end)
    assert ends[1].receive(5) == (Wake(), ())


def test_descriptors_of_many_messages_do_not_mix(ends: tuple[Channel, Channel]) -> None:
    pipes = [os.pipe() for _ in range(6)]
    for slot, (_, write_end) in enumerate(pipes):
        ends[0].send(Fork(slot, 1, 1), (write_end,))
    for slot, (read_end, write_end) in enumerate(pipes):
        received = ends[1].receive(5)
        assert received is not None
        assert received[0] == Fork(slot, 1, 1)
        assert os.fstat(received[1][0]).st_ino == os.fstat(read_end).st_ino
        for fd in (read_end, write_end, *received[1]):
            os.close(fd)


def test_received_descriptors_are_closed_to_what_is_executed(ends: tuple[Channel, Channel]) -> None:
    ends[0].send(Fork(0, 1, 1), (0,))
    received = ends[1].receive(5)
    assert received is not None
    assert not os.get_inheritable(received[1][0])
    os.close(received[1][0])


def test_the_end_of_the_peer_is_none(ends: tuple[Channel, Channel]) -> None:
    ends[0].send(Wake())
    ends[0].close()
    assert ends[1].receive(5) == (Wake(), ())
    assert ends[1].receive(5) is None
    assert ends[1].receive(5) is None


def test_silence_is_a_timeout(ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(TimeoutError):
        ends[1].receive(0)


def test_a_message_above_the_frame_and_the_socket_buffer_arrives(ends: tuple[Channel, Channel]) -> None:
    large = LoadFailed("x" * 3_000_000)
    ends[0].queue(large)
    received = None
    while received is None:
        ends[0].flush()
        ends[1].read_available()
        received = ends[1].take()
    assert received == (large, ())


def test_a_peer_that_does_not_read_costs_a_timeout_and_keeps_the_stream_whole(ends: tuple[Channel, Channel]) -> None:
    sent = 0
    while ends[0].flush():
        ends[0].queue(Reported("x", "info", {"n": "y" * 50_000}))
        sent += 1
    with pytest.raises(TimeoutError):
        ends[0].send(Wake(), timeout_s=0)
    for _ in range(sent):
        assert ends[1].receive(5) is not None
        ends[0].flush()
    ends[0].send(Wake(), timeout_s=0)
    assert ends[1].receive(5) == (Wake(), ())


def test_sending_to_a_peer_that_is_gone_is_not_taken(ends: tuple[Channel, Channel]) -> None:
    ends[1].close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        ends[0].send(Wake())


def test_descriptors_that_cannot_be_copied_leave_nothing_behind(ends: tuple[Channel, Channel]) -> None:
    before = open_fds()
    with pytest.raises(OSError, match="Bad file descriptor"):
        ends[0].queue(Fork(0, 1, 1), (0, 1, -1))
    assert open_fds() == before
    ends[0].send(Wake())
    assert ends[1].receive(5) == (Wake(), ())


def test_closing_closes_descriptors_that_nobody_took() -> None:
    before = open_fds()
    one, other = map(Channel, socket.socketpair())
    one.send(Fork(0, 1, 1), (0, 1))
    one.queue(Fork(1, 1, 1), (0, 1))
    other.read_available()
    one.close()
    other.close()
    assert open_fds() == before


@pytest.mark.parametrize("count", [1, -1, True, "2", 9])
def test_a_count_of_descriptors_that_is_not_true_is_refused(count: object) -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    ours.sendall(encode({"type": "Wake", "fds": count}))
    with pytest.raises(WireError):
        channel.receive(5)
    ours.close()
    channel.close()


def test_garbage_is_a_wire_error_each_time() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    ours.sendall(b"GET / HTTP/1.1\r\n")
    with pytest.raises(WireError):
        channel.receive(5)
    ours.sendall(encode({"type": "Wake"}))
    with pytest.raises(WireError):
        channel.receive(5)
    ours.close()
    channel.close()


def test_a_message_whose_descriptors_find_no_room_comes_without_them_and_the_next_with_its_own() -> None:
    ours, theirs = socket.socketpair()
    one, other = Channel(ours), Channel(theirs)
    one.send(Fork(0, 1, 1), (0, 1))
    one.send(Fork(1, 1, 1), (0, 1))
    before = open_fds()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, before)) + 1, hard))
    try:
        filled = [os.dup(0) for _ in range(max(map(int, before)) + 1 - len(before))]
        assert other.receive(5) == (Fork(0, 1, 1), ())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filled:
            os.close(fd)
    received = other.receive(5)
    assert received is not None
    assert received[0] == Fork(1, 1, 1)
    assert len(received[1]) == 2
    for fd in received[1]:
        os.close(fd)
    one.close()
    other.close()
