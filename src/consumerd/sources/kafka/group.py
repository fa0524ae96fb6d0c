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
from consumerd.sources.kafka.health import Fencing
from consumerd.sources.kafka.membership import Membership
from consumerd.sources.kafka.options import consumer_settings
from consumerd.sources.kafka.rebalance import Rebalance
from consumerd.sources.kafka.receiver import SLICE_S, Receiver
from consumerd.sources.kafka.topic import emitting_logger

COMMIT_AGAIN_S = 5.0
RESIGN_S = 5.0

TAKEN_WITHIN_S = 60.0
"""Fenced twice within this time, a member's identity is another process's. Once may be an echo of a lost session."""


class GroupMember:
    """One member of the group, as one client after the other; `receiver` polls the present one."""

    def __init__(self, membership: Membership, rebalance: Rebalance, receiver: Receiver) -> None:
        """Raises SourceRefusedError for settings that cannot be."""
        self._membership = membership
        self._rebalance = rebalance
        self._receiver = receiver
        self._identity = membership.context.member
        self._fenced_at: float | None = None
        self._uncommitted: frozenset[int] = frozenset()
        self._unread: frozenset[int] = frozenset()
        self._rejoined_for: frozenset[int] = frozenset()
        membership.begin_with(self._new_client())

    def check(self) -> None:
        """Join anew where that helps; raise a refusal that stands. Within `fetch`."""
        health = self._membership.health
        if health.fencing is not None:
            self._join_anew(health.fencing)
        elif self._unread:
            self._rejoin()
        elif self._membership.question.newer is not None:
            with self._membership.client_lock:
                self._rebalance.begin_anew()
        health.check()

    def note_uncommitted(self, partitions: frozenset[int]) -> None:
        """Tasks wait in these partitions, and the group has no position there: seen twice, nobody has the partition.

        A member commits where it begins soon after it was given a partition. It is rejoined once for each of them:
        they may have a member that cannot commit. The keeper's thread.
        """
        with self._membership.state:
            others = partitions.difference(self._membership.assigned)
        self._unread = (others & self._uncommitted) - self._rejoined_for
        self._uncommitted = others

    def leave(self, deadline: float) -> None:
        """Commit what is finished, and end; out of the group where no process takes over."""
        member = self._membership
        with member.client_lock:
            member.is_closed = True
            self._commit(min(deadline - 1, monotonic() + COMMIT_AGAIN_S))
            if self._identity is not None and not member.context.worker.is_replaced():
                self._resign(min(deadline - 1, monotonic() + RESIGN_S))
            member.client.close()

    def _join_anew(self, fencing: Fencing) -> None:
        """With another client: what this one had in hand and had not settled comes again.

        Where another process has this member's identity, it goes on without one: the two would end each other for ever.
        """
        member = self._membership
        if fencing is Fencing.BY_ANOTHER and self._is_fenced_again():
            advice = "is a copy of its state directory in use? Give each master a directory of its own"
            member.emit(events.identity_taken(topic=member.topic, member=self._identity, advice=advice))
            self._identity = None
        client = self._new_client()
        with member.client_lock:
            old = member.client
            self._rebalance.on_lost(old, [TopicPartition(member.topic, number) for number in member.assigned])
            old.close()
            member.begin_with(client)
            self._receiver.begin()
            member.health.note_new_client()
        member.emit(events.group_joined_anew(topic=member.topic, because=fencing.value))

    def _is_fenced_again(self) -> bool:
        before, self._fenced_at = self._fenced_at, monotonic()
        return before is not None and self._fenced_at - before < TAKEN_WITHIN_S

    def _rejoin(self) -> None:
        """Leave and join again, so that the group shares out what the topic has now."""
        member, unread = self._membership, self._unread
        self._rejoined_for |= unread
        self._unread = frozenset()
        with member.client_lock:
            self._resign(monotonic() + RESIGN_S)
            self._subscribe(member.client)
            self._receiver.begin()
        because = f"no member reads the partitions {sorted(unread)}"
        member.emit(events.group_joined_anew(topic=member.topic, because=because))

    def _commit(self, patience: float) -> None:
        """Commit, again where a rebalance or a new coordinator makes the broker say no."""
        assigned = tuple(self._membership.assigned.values())
        while not self._membership.send_now(assigned):
            if self._membership.health.is_final or monotonic() >= patience:
                return
            self._membership.client.poll(SLICE_S)  # what comes is not ours to handle any more; the group must go on

    def _resign(self, patience: float) -> None:
        """Give the partitions back and leave the group: a client that has unsubscribed tells it so."""
        client = self._membership.client
        with self._membership.errors_noted():
            client.unsubscribe()
            while client.assignment() and monotonic() < patience:
                client.poll(SLICE_S)

    def _new_client(self) -> Consumer:
        """A client that has subscribed, and joins with its first poll."""
        member = self._membership
        settings: dict[str, object] = dict(consumer_settings(member.options, member=self._identity))
        settings |= {"error_cb": member.health.note, "on_commit": member.answered}
        try:
            client = Consumer(settings, logger=emitting_logger(member.emit))
        except KafkaException as error:
            refused = f"librdkafka refuses the configuration of {member.context.name}: {error.args[0].str()}"
            raise SourceRefusedError(refused) from error
        self._subscribe(client)
        return client

    def _subscribe(self, client: Consumer) -> None:
        calls = self._rebalance
        client.subscribe([self._membership.topic], calls.on_assign, calls.on_revoke, calls.on_lost)
