"""The consumer group's member: its client, made and made anew; how its partitions come and go; how it leaves.

A member with a fixed identity (`group.instance.id`) keeps its partitions while it is away for less than its session:
so the next process of its slot has them at once, and nothing moves. Where no process takes over, it has to leave by
itself: closing the client does not tell the group.

Such a group may forget partitions. Where it divides them anew, it first takes those that move from who has them, and
gives them away once their members have said that they let go. A member that is killed in between never says so, and the
process that follows it does not know: it is given what was left to the killed one. Nor does anybody look whether the
topic has grown while members were away. So who measures the lag looks after partitions that nobody has.

The client's callbacks run in whichever thread polls. They never raise: an exception in a callback would cost the
records that the same call had fetched. Runs in workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import get_ident

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from consumerd import events
from consumerd.clock import monotonic
from consumerd.errors import SourceRefusedError
from consumerd.events.facts import Event
from consumerd.model.ledger import UNKNOWN
from consumerd.sources.contract import ShardLag
from consumerd.sources.kafka.health import Fencing
from consumerd.sources.kafka.identity import UNKNOWN_UUID, is_uuid
from consumerd.sources.kafka.membership import Membership
from consumerd.sources.kafka.options import consumer_settings
from consumerd.sources.kafka.partition import AssignedPartition
from consumerd.sources.kafka.topic import emitting_logger

COMMITTED_S = COMMIT_AGAIN_S = RESIGN_S = 5.0
SLICE_S = 0.2

STANDING_S = 8.0
"""A partition that has stood still for so long, as two measurements of the lag show, may have no member."""

MOST_DOUBLINGS = 6

TAKEN_WITHIN_S = 60.0
"""Fenced twice within this time, a member's identity is another process's. Once may be an echo of a lost session."""

REVOKE_MARGIN = 0.1
"""The part of `max_poll_interval` that a revoke leaves for the commit, and for the poll before it."""


class GroupMember:
    """One member of the group, as one client after the other."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._assigned = membership.assigned
        self._state = membership.state
        self._health = membership.health
        self._question = membership.question
        self._identity = membership.context.member
        self._fenced_at: float | None = None
        self._waiting: dict[int, tuple[int, float]] = {}
        self._unread: frozenset[int] = frozenset()
        self._rejoins = 0

    def join(self) -> None:
        """With a client that has subscribed, and joins with its first poll. SourceRefusedError for what cannot be."""
        self._membership.begin_with(self._new_client())

    def check(self) -> None:
        """Join anew where that helps; raise a refusal that stands. Within `fetch`."""
        if self._health.fencing is not None:
            self._join_anew(self._health.fencing)
        elif self._unread:
            self._rejoin()
        elif self._question.newer is not None:
            self.begin_anew()
        self._health.check()

    def note_lag(self, lag: Iterable[ShardLag], owned: Callable[[], frozenset[int] | None]) -> None:
        """Have this member join anew, where tasks wait in partitions that no member of the group has.

        owned: asks for the partitions that somebody has. It is asked where a partition of others stands still: its
        member is slow, or there is none. Where joining anew does not help, it is done later and later. The keeper's
        thread.
        """
        now, before = self._membership.clock.monotonic(), self._waiting
        with self._state:
            others = {each.shard: each.position for each in lag if each.tasks and each.shard not in self._assigned}
        self._waiting = {
            shard: before[shard] if shard in before and before[shard][0] == position else (position, now)
            for shard, position in others.items()
        }
        stands_s = {shard: now - since for shard, (_, since) in self._waiting.items() if now - since >= STANDING_S}
        self._unread = frozenset()
        if not stands_s:
            self._rejoins = 0
        elif max(stands_s.values()) >= STANDING_S * 2**self._rejoins and (found := owned()) is not None:
            self._unread = frozenset(stands_s) - found

    def leave(self, deadline: float) -> None:
        """Commit what is finished, and end; out of the group where no process takes over."""
        member = self._membership
        with member.client_lock:
            member.is_closed = True
            self._commit(min(deadline - 1, monotonic() + COMMIT_AGAIN_S))
            if self._identity is not None and not member.context.worker.is_replaced():
                self._resign(min(deadline - 1, monotonic() + RESIGN_S))
            member.client.close()

    def begin_anew(self) -> None:
        """The topic was made anew: what was read and finished of the one before counts for nothing.

        A partition whose position has gone back since is read from its begin already.
        """
        member = self._membership
        with member.client_lock:
            last_seen = self._question.take_newer()
            with self._state:
                before = [each for each in self._assigned.values() if each.went_back_at <= last_seen]
                for assigned in self._assigned.values():
                    assigned.topic_uuid = self._question.identity.uuid
                for assigned in before:
                    assigned.fence()
            places = [TopicPartition(member.topic, each.partition, OFFSET_BEGINNING) for each in before]
            self._begin(places)
            with member.errors_noted():
                for place in places:
                    member.client.seek(place)
        member.emit(events.topic_made_anew(topic=member.topic, partitions=sorted(self._assigned)))

    # The client's callbacks

    def on_assign(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Begin at the committed positions."""
        places = self._with_positions(client, partitions)
        coming = self._begin(places)
        self._health.note_joined(len(partitions))
        self._membership.switch(client.resume, coming)  # librdkafka remembers a pause of an earlier assignment
        with self._membership.errors_noted():
            client.incremental_assign(places)
        self._report(events.partitions_assigned, partitions)

    def on_revoke(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Let the loop leave them, commit what is finished, let go."""
        leaving = self._begin_leaving(partitions)
        self._wait_until_left(leaving)
        self._membership.send_now(leaving)
        self._unassign(client, partitions, leaving)
        self._report(events.partitions_revoked, partitions)

    def on_lost(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Others have them already: start nothing, settle nothing."""
        self._health.note_lost()
        leaving = self._begin_leaving(partitions)
        self._membership.context.worker.interrupt()
        self._unassign(client, partitions, leaving)
        self._report(events.partitions_lost, partitions)

    # Partitions

    def _with_positions(self, client: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """The partitions with the group's positions; those that cannot be had are left to librdkafka."""
        if not partitions:
            return partitions
        try:
            found = client.committed(partitions, timeout=COMMITTED_S)
        except KafkaException as error:
            self._health.note(error.args[0])
            return partitions
        uuid = self._question.awaited().uuid
        places = [
            place if place.error is None and place.offset > UNKNOWN else bare
            for place, bare in zip(found, partitions, strict=True)
        ]
        foreign = [place for place in places if place.metadata and is_uuid(place.metadata) and place.metadata != uuid]
        for place in foreign if uuid != UNKNOWN_UUID else ():
            place.offset = OFFSET_BEGINNING  # committed for an earlier topic of this name
        return places

    def _begin(self, places: Iterable[TopicPartition]) -> list[AssignedPartition]:
        """The partitions at these positions, held until it is known what of them is parked."""
        with self._state:
            coming = [AssignedPartition(place.partition, place.offset) for place in places]
            for assigned in coming:
                assigned.is_held = True
                self._assigned[assigned.partition] = assigned
        return coming

    def _begin_leaving(self, partitions: list[TopicPartition]) -> list[AssignedPartition]:
        with self._state:
            leaving = [found for place in partitions if (found := self._assigned.get(place.partition)) is not None]
            for assigned in leaving:
                assigned.leave()
        return leaving

    def _wait_until_left(self, leaving: list[AssignedPartition]) -> None:
        """Have the loop leave its batches of these partitions, as long as the group will wait; then nothing settles.

        In the loop's own thread, which is within `fetch`, tasks may be in hand that run beside each other.
        """
        member = self._membership
        timeout_s = member.options.max_poll_interval * (1 - REVOKE_MARGIN)
        if get_ident() == member.loop_thread:
            deadline = monotonic() + timeout_s
            while any(assigned.in_hand for assigned in leaving) and monotonic() < deadline:
                if not member.context.worker.go_on():
                    break
        with self._state:
            if get_ident() != member.loop_thread and any(assigned.in_hand for assigned in leaving):
                member.context.worker.interrupt()
                self._state.wait_for(lambda: not any(assigned.in_hand for assigned in leaving), timeout_s)
            for assigned in leaving:
                assigned.fence()

    def _unassign(self, client: Consumer, partitions: list[TopicPartition], leaving: list[AssignedPartition]) -> None:
        with self._state:
            for assigned in leaving:
                assigned.fence()
                del self._assigned[assigned.partition]
            if not self._assigned:
                self._question.forget()
        with self._membership.errors_noted():
            client.incremental_unassign(partitions)

    def _report(self, event: Event[...], partitions: list[TopicPartition]) -> None:
        if partitions:
            numbers = sorted(place.partition for place in partitions)
            self._membership.emit(event(topic=self._membership.topic, partitions=numbers))

    # The client

    def _join_anew(self, fencing: Fencing) -> None:
        """With another client: what this one had in hand and had not settled comes again.

        Where another process has this member's identity, it goes on without one: the two would end each other for ever.
        """
        member = self._membership
        if fencing is Fencing.BY_ANOTHER:
            before, self._fenced_at = self._fenced_at, monotonic()
            if before is not None and self._fenced_at - before < TAKEN_WITHIN_S:
                advice = "is a copy of its state directory in use? Give each master a directory of its own"
                member.emit(events.identity_taken(topic=member.topic, member=self._identity, advice=advice))
                self._identity = None
        client = self._new_client()
        with member.client_lock:
            old = member.client
            self.on_lost(old, [TopicPartition(member.topic, number) for number in member.assigned])
            old.close()
            member.begin_with(client)
            self._health.note_new_client()
        member.emit(events.group_joined_anew(topic=member.topic, because=fencing.value))

    def _rejoin(self) -> None:
        """Leave and join again, so that the group divides the topic anew: all of it, as it is now."""
        member, unread = self._membership, self._unread
        self._rejoins = min(self._rejoins + 1, MOST_DOUBLINGS)
        self._unread = frozenset()
        with member.client_lock:
            self._resign(monotonic() + RESIGN_S)
            self._subscribe(member.client)
        because = f"no member reads the partitions {sorted(unread)}"
        member.emit(events.group_joined_anew(topic=member.topic, because=because))

    def _commit(self, patience: float) -> None:
        """Commit, again where a rebalance or a new coordinator makes the broker say no."""
        assigned = tuple(self._assigned.values())
        while not self._membership.send_now(assigned):
            if self._health.is_final or monotonic() >= patience:
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
        member = self._membership
        settings: dict[str, object] = dict(consumer_settings(member.options, member=self._identity))
        settings |= {"error_cb": self._health.note, "on_commit": member.answered}
        try:
            client = Consumer(settings, logger=emitting_logger(member.emit))
        except KafkaException as error:
            refused = f"librdkafka refuses the configuration of {member.context.name}: {error.args[0].str()}"
            raise SourceRefusedError(refused) from error
        self._subscribe(client)
        return client

    def _subscribe(self, client: Consumer) -> None:
        client.subscribe([self._membership.topic], self.on_assign, self.on_revoke, self.on_lost)
