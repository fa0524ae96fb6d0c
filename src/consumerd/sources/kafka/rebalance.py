"""Partitions come and go: the client's callbacks, in whichever thread polls. Runs in workers.

They never raise: an exception in a callback would cost the records that the same call had fetched.
"""

from __future__ import annotations

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from consumerd import events
from consumerd.events.facts import Event
from consumerd.model.ledger import UNKNOWN
from consumerd.sources.kafka.assigned import AssignedPartition
from consumerd.sources.kafka.hand import Hand
from consumerd.sources.kafka.identity import UNKNOWN_UUID, is_uuid
from consumerd.sources.kafka.shared import Shared

COMMITTED_S = 5.0


class Rebalance:
    """What is done when partitions are assigned, revoked, lost."""

    def __init__(self, shared: Shared, hand: Hand, *, leave_s: float) -> None:
        """leave_s: how long a revoke waits for the loop to leave the partition's batch; below `max_poll_interval`."""
        self._membership = shared.membership
        self._assigned = shared.membership.assigned
        self._state = shared.membership.state
        self._arrivals = shared.arrivals
        self._commits = shared.commits
        self._health = shared.health
        self._lookup = shared.lookup
        self._hand = hand
        self._leave_s = leave_s

    def on_assign(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Begin at the committed positions, once it is known what is parked above them."""
        places = self._with_positions(client, partitions)
        with self._state:
            coming = [self._begin(place) for place in places]
        self._health.note_joined(len(partitions))
        freed = [TopicPartition(self._membership.topic, found.partition) for found in self._lookup.free_held()]
        try:
            client.resume(freed)  # librdkafka remembers a pause, also that of a partition which was away since
            client.incremental_assign(places)
            held = [place for place, assigned in zip(places, coming, strict=True) if assigned.is_held]
            if held:
                client.pause(held)
        except KafkaException as error:
            self._health.note(error.args[0])
        self._report(events.partitions_assigned, partitions)

    def begin_anew(self, client: Consumer) -> None:
        """The topic was made anew: what was read and finished of the one before counts for nothing.

        A partition whose position has gone back since is read from its begin already.
        """
        last_seen = self._lookup.take_newer()
        with self._state:
            before = [each for each in self._assigned.values() if each.went_back_at <= last_seen]
            for assigned in self._assigned.values():
                assigned.is_held = True
            for assigned in before:
                assigned.fence()
                self._arrivals.drop(assigned)
            places = [TopicPartition(self._membership.topic, each.partition, OFFSET_BEGINNING) for each in before]
            coming = [self._begin(place) for place in places]
        self._lookup.free_held()
        try:
            client.pause([place for place, assigned in zip(places, coming, strict=True) if assigned.is_held])
            for place in places:
                client.seek(place)
        except KafkaException as error:
            self._health.note(error.args[0])
        self._membership.emit(events.topic_made_anew(topic=self._membership.topic, partitions=sorted(self._assigned)))

    def on_revoke(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Let the loop leave them, commit what is finished, let go."""
        leaving = self._begin_leaving(partitions)
        self._hand.wait_until_left(leaving, self._leave_s)
        with self._state:
            for assigned in leaving:
                assigned.fence()
        self._commits.send_now(client, leaving)
        self._unassign(client, partitions, leaving)
        self._report(events.partitions_revoked, partitions)

    def on_lost(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Others have them already: start nothing, settle nothing."""
        self._health.note_lost()
        leaving = self._begin_leaving(partitions)
        with self._state:
            for assigned in leaving:
                assigned.fence()
        self._hand.interrupt()
        self._unassign(client, partitions, leaving)
        self._report(events.partitions_lost, partitions)

    def _with_positions(self, client: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """The partitions with the group's positions; those that cannot be had are left to librdkafka."""
        if not partitions:
            return partitions
        try:
            found = client.committed(partitions, timeout=COMMITTED_S)
        except KafkaException as error:
            self._health.note(error.args[0])
            return partitions
        uuid = self._lookup.known_identity().uuid
        places = [
            place if place.error is None and place.offset > UNKNOWN else bare
            for place, bare in zip(found, partitions, strict=True)
        ]
        foreign = [place for place in places if place.metadata and is_uuid(place.metadata) and place.metadata != uuid]
        for place in foreign if uuid != UNKNOWN_UUID else ():
            place.offset = OFFSET_BEGINNING  # committed for an earlier topic of this name
        return places

    def _begin(self, place: TopicPartition) -> AssignedPartition:
        """A partition at this position, held until it is known what of it is parked. Under the state lock."""
        assigned = self._assigned[place.partition] = AssignedPartition(place.partition, place.offset)
        assigned.is_held = True
        return assigned

    def _begin_leaving(self, partitions: list[TopicPartition]) -> list[AssignedPartition]:
        with self._state:
            leaving = [found for place in partitions if (found := self._assigned.get(place.partition)) is not None]
            for assigned in leaving:
                assigned.is_leaving = True
                self._arrivals.drop(assigned)
        return leaving

    def _unassign(self, client: Consumer, partitions: list[TopicPartition], leaving: list[AssignedPartition]) -> None:
        with self._state:
            for assigned in leaving:
                del self._assigned[assigned.partition]
            if not self._assigned:
                self._lookup.forget_identity()
        try:
            client.incremental_unassign(partitions)
        except KafkaException as error:
            self._health.note(error.args[0])

    def _report(self, event: Event[...], partitions: list[TopicPartition]) -> None:
        if partitions:
            numbers = sorted(place.partition for place in partitions)
            self._membership.emit(event(topic=self._membership.topic, partitions=numbers))
