"""The client that is a member of the consumer group: made, made anew, and how it leaves. Runs in workers.

A member with a fixed identity (`group.instance.id`) keeps its partitions while it is away for less than its session:
so the next process of its slot has them at once, and nothing moves. Where no process takes over, it has to leave by
itself: closing the client does not tell the group. What nobody tells such members is that their topic has grown
while they were away: the group has the partitions that it had, and no member looks.
"""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition

from consumerd import events
from consumerd.clock import monotonic
from consumerd.errors import SourceRefusedError
from consumerd.sources.contract import SourceContext
from consumerd.sources.kafka.hand import Hand
from consumerd.sources.kafka.health import Fencing
from consumerd.sources.kafka.options import KafkaOptions, consumer_settings
from consumerd.sources.kafka.questions import emitting_logger
from consumerd.sources.kafka.rebalance import Rebalance
from consumerd.sources.kafka.receiver import SLICE_S, Receiver
from consumerd.sources.kafka.shared import Shared

COMMIT_AGAIN_S = 5.0
RESIGN_S = 5.0

TAKEN_WITHIN_S = 60.0
"""Fenced twice within this time, a member's identity is another process's. Once may be an echo of a lost session."""

REVOKE_MARGIN = 0.1
"""The part of `max_poll_interval` that a revoke leaves for the commit, and for the poll before it."""


class GroupMember:
    """One member of the group, as one client after the other. `receiver` has the present one."""

    def __init__(self, context: SourceContext, options: KafkaOptions, shared: Shared, hand: Hand) -> None:
        """Raises SourceRefusedError for settings that cannot be."""
        self._context = context
        self._options = options
        self._shared = shared
        self._identity = context.member
        self._fenced_at: float | None = None
        leave_s = options.max_poll_interval * (1 - REVOKE_MARGIN)
        self._uncommitted: frozenset[int] = frozenset()
        self._rejoined_for: frozenset[int] = frozenset()
        self.unread: frozenset[int] = frozenset()
        """The partitions that no member reads, where the group has to share the topic out anew for them."""
        self._calls = Rebalance(shared, hand, leave_s=leave_s)
        self.receiver = Receiver(self._new_client(), shared)

    def join_anew(self, fencing: Fencing) -> None:
        """With another client: what this one had in hand and had not settled comes again.

        Where another process has this member's identity, it goes on without one: the two would end each other for ever.
        """
        membership, receiver = self._shared.membership, self.receiver
        if fencing is Fencing.BY_ANOTHER and self._is_fenced_again():
            advice = "is a copy of its state directory in use? Give each master a directory of its own"
            membership.emit(events.identity_taken(topic=membership.topic, member=self._identity, advice=advice))
            self._identity = None
        client = self._new_client()
        with receiver.lock:
            old = receiver.client
            self._calls.on_lost(old, [TopicPartition(membership.topic, number) for number in membership.assigned])
            old.close()
            receiver.replace(client)
            self._shared.commits.forget()
            self._shared.health.note_new_client()
        membership.emit(events.group_joined_anew(topic=membership.topic, because=fencing.value))

    def _is_fenced_again(self) -> bool:
        before, self._fenced_at = self._fenced_at, monotonic()
        return before is not None and self._fenced_at - before < TAKEN_WITHIN_S

    def note_uncommitted(self, partitions: frozenset[int]) -> None:
        """Tasks wait in these partitions, and the group has no position there: seen twice, nobody has the partition.

        A member commits where it begins soon after it was given a partition. It is rejoined once for each of them:
        they may have a member that cannot commit. The keeper's thread.
        """
        with self._shared.membership.state:
            others = partitions.difference(self._shared.membership.assigned)
        self.unread = (others & self._uncommitted) - self._rejoined_for
        self._uncommitted = others

    def rejoin(self) -> None:
        """Leave and join again, so that the group shares out what the topic has now. Within `fetch`."""
        unread, receiver = self.unread, self.receiver
        self._rejoined_for |= unread
        self.unread = frozenset()
        with receiver.lock:
            self._resign(monotonic() + RESIGN_S)
            self._subscribe(receiver.client)
            receiver.replace(receiver.client)
        because = f"no member reads the partitions {sorted(unread)}"
        self._shared.membership.emit(events.group_joined_anew(topic=self._shared.membership.topic, because=because))

    def begin_anew(self) -> None:
        """The topic was deleted and made anew. Within `fetch`."""
        with self.receiver.lock:
            self._calls.begin_anew(self.receiver.client)

    def leave(self, deadline: float) -> None:
        """Commit what is finished, and end; out of the group where no process takes over."""
        receiver = self.receiver
        with receiver.lock:
            receiver.is_closed = True
            self._commit(min(deadline - 1, monotonic() + COMMIT_AGAIN_S))
            if self._identity is not None and not self._context.worker.is_replaced():
                self._resign(min(deadline - 1, monotonic() + RESIGN_S))
            receiver.client.close()

    def _commit(self, patience: float) -> None:
        """Commit, again where a rebalance or a new coordinator makes the broker say no."""
        client, assigned = self.receiver.client, tuple(self._shared.membership.assigned.values())
        while not self._shared.commits.send_now(client, assigned):
            if self._shared.health.is_final or monotonic() >= patience:
                return
            client.poll(SLICE_S)  # what comes is not ours to handle any more; the group must go on

    def _resign(self, patience: float) -> None:
        """Give the partitions back and leave the group: a client that has unsubscribed tells it so."""
        client = self.receiver.client
        try:
            client.unsubscribe()
            while client.assignment() and monotonic() < patience:
                client.poll(SLICE_S)
        except KafkaException as error:
            self._shared.health.note(error.args[0])

    def _new_client(self) -> Consumer:
        """A client that has subscribed, and joins with its first poll."""
        settings: dict[str, object] = dict(consumer_settings(self._options, member=self._identity))
        settings |= {"error_cb": self._shared.health.note, "on_commit": self._shared.commits.answered}
        try:
            client = Consumer(settings, logger=emitting_logger(self._context.emit))
        except KafkaException as error:
            refused = f"librdkafka refuses the configuration of {self._context.name}: {error.args[0].str()}"
            raise SourceRefusedError(refused) from error
        self._subscribe(client)
        return client

    def _subscribe(self, client: Consumer) -> None:
        calls = self._calls
        client.subscribe([self._options.topic_name], calls.on_assign, calls.on_revoke, calls.on_lost)
