"""The post: every channel of the master, read and written by the event loop, nothing ever waited for.

Runs in the master. What came lies in the inbox until a turn takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consumerd.errors import UnreadError, WireError
from consumerd.model.identity import ConsumerName
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Message


@dataclass(frozen=True, slots=True)
class Origin:
    """Who is at the other end: the zygote of an edition (slot None), or one generation of a slot's worker."""

    pool: ConsumerName
    slot: int | None = None
    generation: int = 0
    edition: int = 0


@dataclass(frozen=True, slots=True)
class EndOfChannel:
    """The peer is gone. broken: it sent what the protocol does not allow, or does not read, and is not listened to any
    more.
    """

    broken: WireError | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message, with the descriptors that are whoever takes it; or the channel's end, once."""

    origin: Origin
    content: Message | EndOfChannel
    fds: tuple[int, ...] = ()


class Mailbox:
    """Channels by their origin. `wake` is called when something has arrived."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._open: dict[Channel, Origin] = {}
        self._arrivals: list[Arrival] = []

    def open(self, channel: Channel, origin: Origin) -> None:
        """Listen to a channel until its end, or `close`."""
        self._open[channel] = origin
        self._loop.add_reader(channel.fileno(), self._read, channel)
        self.flush(channel)

    def close(self, channel: Channel) -> None:
        self._stop_listening(channel)
        channel.close()

    def take(self) -> list[Arrival]:
        """What has arrived, oldest first."""
        arrivals, self._arrivals = self._arrivals, []
        return arrivals

    def take_of(self, origin: Origin) -> list[Arrival]:
        """What has arrived from one origin; the rest stays."""
        taken = [arrival for arrival in self._arrivals if arrival.origin == origin]
        self._arrivals = [arrival for arrival in self._arrivals if arrival.origin != origin]
        return taken

    def drain(self, channel: Channel) -> None:
        """Read all that lies in a channel now, up to its end where the peer is dead."""
        while channel in self._open and self._read(channel):
            pass

    def send(self, channel: Channel, message: Message, fds: Sequence[int] = ()) -> None:
        """Send as soon as the peer reads. One that has gone is found by its end of file, and so is one for which too
        much waits. WireError when the message cannot be written.
        """
        try:
            channel.queue(message, fds)
        except UnreadError as error:
            if channel in self._open:
                self._end(channel, EndOfChannel(error))
            return
        self.flush(channel)

    def flush(self, channel: Channel) -> None:
        if channel not in self._open:
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if not channel.flush():
                self._loop.add_writer(channel.fileno(), self.flush, channel)
                return
        self._loop.remove_writer(channel.fileno())

    def _read(self, channel: Channel) -> bool:
        """Read once; whether there was anything."""
        origin, is_read, end = self._open[channel], False, None
        try:
            is_read = channel.read_available()
            end = EndOfChannel() if channel.is_at_end else None
        except WireError as error:
            end = EndOfChannel(error)
        while (received := channel.take()) is not None:
            self._arrivals.append(Arrival(origin, *received))
            self._wake()
        if end is not None:
            self._end(channel, end)
        return is_read

    def _end(self, channel: Channel, end: EndOfChannel) -> None:
        self._arrivals.append(Arrival(self._open[channel], end))
        self._stop_listening(channel)
        self._wake()

    def _stop_listening(self, channel: Channel) -> None:
        if self._open.pop(channel, None) is not None:
            self._loop.remove_reader(channel.fileno())
            self._loop.remove_writer(channel.fileno())
