"""The line to a master that reads nothing for a while."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from consumerd import events
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Message, Reported
from consumerd.worker.master_link import MasterLink

FAILED = events.task_failed(offset=1, shard=0, attempt=1, task="t:1", error="x" * 1000)
AWAY = events.store_away(error="refused")


@pytest.fixture
def ends() -> Iterator[tuple[MasterLink, Channel]]:
    ours, master = map(Channel, socket.socketpair())
    yield MasterLink(ours), master
    ours.close()
    master.close()


def heard(link: MasterLink, master: Channel) -> list[Message]:
    """All that comes, while the timer flushes."""
    messages: list[Message] = []
    while master.read_available():
        messages += [message for message, _ in iter(master.take, None)]
        link.flush()
    return messages


def test_a_flood_of_failed_tasks_is_dropped_and_the_pools_state_is_told_when_it_reads_again(
    ends: tuple[MasterLink, Channel],
) -> None:
    link, master = ends
    for _ in range(5000):
        link.listen(FAILED)
    link.listen(AWAY)
    assert link.channel.has_unsent
    told = [message.name for message in heard(link, master) if isinstance(message, Reported)]
    assert 10 < told.count("task_failed") < 1000
    assert told[-1] == "store_away"
    assert not link.channel.has_unsent
    link.listen(FAILED)
    assert len(heard(link, master)) == 1


def test_a_master_that_is_gone_is_no_error(ends: tuple[MasterLink, Channel]) -> None:
    link, master = ends
    master.close()
    for _ in range(3):
        link.listen(AWAY)
        link.listen(FAILED)
        link.flush()
