"""The post: what peers that die, babble or do not listen make of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from consumerd.errors import UnreadError, WireError
from consumerd.master.pools.mailbox import Arrival, EndOfChannel, Mailbox, Origin
from consumerd.model.identity import ConsumerName
from consumerd.wire import channel as channels
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Hello, Wake

ORIGIN = Origin(ConsumerName("g", "a"), 0, 1)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def ends(loop: asyncio.AbstractEventLoop) -> Iterator[tuple[Mailbox, Channel, Channel]]:
    """A post, the end that it listens to, and the peer's."""
    ours, theirs = map(Channel, socket.socketpair())
    post = Mailbox(loop, lambda: None)
    post.open(ours, ORIGIN)
    yield post, ours, theirs
    post.close(ours)
    theirs.close()


def test_the_last_words_of_the_dead_are_heard_also_where_one_reading_is_no_message(
    ends: tuple[Mailbox, Channel, Channel],
) -> None:
    post, ours, theirs = ends
    long = Hello("1" * 100_000)
    theirs.queue(long)
    assert theirs.flush()
    theirs.queue(Wake())
    assert theirs.flush()
    theirs.close()
    post.drain(ours)
    assert post.take() == [Arrival(ORIGIN, long), Arrival(ORIGIN, Wake()), Arrival(ORIGIN, EndOfChannel())]


def test_a_peer_that_reads_nothing_is_broken_and_raises_nothing(
    ends: tuple[Mailbox, Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "OUTBOX_LIMIT_BYTES", 100_000)
    post, ours, _ = ends
    for _ in range(100):
        post.send(ours, Hello("1" * 10_000))
    (end,) = post.take()
    assert isinstance(end.content, EndOfChannel)
    assert isinstance(end.content.broken, UnreadError)


def test_what_cannot_be_written_is_the_senders_to_tell(ends: tuple[Mailbox, Channel, Channel]) -> None:
    post, ours, _ = ends
    with pytest.raises(WireError, match="make it smaller"):
        post.send(ours, Hello("1" * 70_000_000))
    assert post.take() == []
