"""`consume_client` of a Kafka consumer, for a seed-style `iterate_task`. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from consumerd.errors import UsageError


class Facade:
    """The client as the user sees it. What is read through it counts as finished when its task is, never before."""

    def __init__(self) -> None:
        self._read: Callable[[], Iterator[tuple[int, bytes]]] | None = None

    def consume(self) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, value) of each message, until the worker is to stop.

        The offset is an int that remembers its partition: yield it on. For `iterate_task` alone, which the worker
        iterates; UsageError elsewhere, since nobody would know what becomes of the messages.
        """
        if self._read is None:
            raise UsageError(
                "consume_client.consume() was called outside a consumer's own iterate_task: override iterate_task "
                "and read there"
            )
        return self._read()

    def serve(self, read: Callable[[], Iterator[tuple[int, bytes]]]) -> None:
        """From now on, messages are read by `read`."""
        self._read = read
