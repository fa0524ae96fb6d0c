"""Messages one at a time, for the user's own `iterate_task`. Runs in workers and the foreground.

It waits within the user's generator, where nothing may be raised: whatever the loop must know goes through
`refusal` and `attend`, which lets the loop do meanwhile what it would do between two fetches.
"""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import Message

from consumerd.errors import SourceRefusedError
from consumerd.model.task import Task
from consumerd.sources.contract import Worker
from consumerd.sources.kafka.assigned import AssignedPartition
from consumerd.sources.kafka.receiver import SLICE_S, Receiver
from consumerd.sources.kafka.shared import Shared

READ_AT_ONCE = 500


class MessageReader:
    """Reads on for the generator. `refusal` is set where the source answered no; the reading ends then."""

    def __init__(
        self,
        shared: Shared,
        receiver: Receiver,
        *,
        check: Callable[[], None],
        worker: Worker,
    ) -> None:
        """check: raises where the source refuses."""
        self._membership = shared.membership
        self._arrivals = shared.arrivals
        self._health = shared.health
        self._lookup = shared.lookup
        self._receiver = receiver
        self._check = check
        self._worker = worker
        self.refusal: SourceRefusedError | None = None

    def read(self) -> tuple[AssignedPartition, Message] | None:
        """The next message, waited for; None when the worker is to stop or the source refuses."""
        while self.refusal is None:
            with self._membership.state:
                found = self._take()
            if found is not None:
                return found
            if not self._worker.attend(self._health.trouble or self._lookup.away):
                return None
            self._wait()
        return None

    def task_of(self, message: Message) -> Task:
        """The task of a message."""
        return self._lookup.identity.task(message)

    def _take(self) -> tuple[AssignedPartition, Message] | None:
        while (run := self._arrivals.take(1)) is not None:
            assigned = run.assigned
            if run.messages:
                assigned.read_to = run.end
                return assigned, run.messages[0]
            if not assigned.has_unyielded:
                assigned.ledger.skip_to(run.end)
        return None

    def _wait(self) -> None:
        try:
            self._check()
            self._receiver.receive(READ_AT_ONCE, SLICE_S)
        except SourceRefusedError as refusal:
            self.refusal = refusal
