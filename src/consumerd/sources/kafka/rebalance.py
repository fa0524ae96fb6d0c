"""Partitions come and go: the client's callbacks, in whichever thread polls. Runs in workers.

They never raise: an exception in a callback would cost the records that the same call had fetched.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import get_ident

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from consumerd import events
from consumerd.errors import StoreAwayError
from consumerd.events.facts import Event
from consumerd.model.ledger import UNKNOWN
from consumerd.model.task import TaskId
from consumerd.sources.kafka.identity import UNKNOWN_UUID, is_uuid
from consumerd.sources.kafka.membership import Membership
from consumerd.sources.kafka.partition import AssignedPartition

COMMITTED_S = 5.0
AGAIN_S = 1.0
"""Between two questions to a parking store that does not answer."""

REVOKE_MARGIN = 0.1
"""The part of `max_poll_interval` that a revoke leaves for the commit, and for the poll before it."""


class Rebalance:
    """What is done when partitions are assigned, revoked, lost, or turn out to be another topic's.

    An assigned partition is held until it is known what of it is parked.
    """

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._assigned = membership.assigned
        self._state = membership.state
        self._health = membership.health
        self._question = membership.question
        self._has_held = False
        self._ask_store_at = 0.0

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
        self._fence(leaving)
        self._membership.send_now(leaving)
        self._unassign(client, partitions, leaving)
        self._report(events.partitions_revoked, partitions)

    def on_lost(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Others have them already: start nothing, settle nothing."""
        self._health.note_lost()
        leaving = self._begin_leaving(partitions)
        self._fence(leaving)
        self._membership.context.worker.interrupt()
        self._unassign(client, partitions, leaving)
        self._report(events.partitions_lost, partitions)

    # What the loop has done

    def ask_store(self) -> None:
        """Ask what is parked of the partitions that are held, where it is time to. The loop's thread.

        They are paused while the store does not answer, so that their records do not pile up here.
        """
        member, now = self._membership, self._membership.clock.monotonic()
        if not self._has_held or now < self._ask_store_at:
            return
        self._has_held, member.store_away = False, None
        with self._state:
            held = [assigned for assigned in self._assigned.values() if assigned.is_held and not assigned.is_leaving]
        try:
            for assigned in held:
                self._free(assigned)
        except StoreAwayError as error:
            self._has_held, member.store_away = True, error
            self._ask_store_at = now + AGAIN_S
        member.switch(member.client.resume, [assigned for assigned in held if not assigned.is_held])
        member.switch(member.client.pause, [assigned for assigned in held if assigned.is_held])

    def begin_anew(self) -> None:
        """The topic was made anew: what was read and finished of the one before counts for nothing.

        A partition whose position has gone back since is read from its begin already.
        """
        client, topic = self._membership.client, self._membership.topic
        last_seen = self._question.take_newer()
        with self._state:
            before = [each for each in self._assigned.values() if each.went_back_at <= last_seen]
            for assigned in self._assigned.values():
                assigned.is_held = True
            for assigned in before:
                assigned.fence()
        places = [TopicPartition(topic, each.partition, OFFSET_BEGINNING) for each in before]
        self._begin(places)
        with self._membership.errors_noted():
            for place in places:
                client.seek(place)
        self._membership.emit(events.topic_made_anew(topic=topic, partitions=sorted(self._assigned)))

    # Steps

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
            self._has_held = True
        return coming

    def _free(self, assigned: AssignedPartition) -> None:
        identity, position, ids = self._question.awaited(), max(assigned.durable, UNKNOWN + 1), frozenset[TaskId]()
        if not assigned.went_back_at:
            ids = self._membership.context.parked.parked_from(identity.topic, assigned.partition, position)
        with self._state:
            assigned.topic_uuid = identity.uuid if identity.is_known else ""
            assigned.parked_ids = ids
            if not self._membership.is_iterated:  # there it is not positions that are skipped, but tasks yielded
                assigned.parked = identity.positions(assigned.partition, ids)
            assigned.is_held = False

    def _begin_leaving(self, partitions: list[TopicPartition]) -> list[AssignedPartition]:
        with self._state:
            leaving = [found for place in partitions if (found := self._assigned.get(place.partition)) is not None]
            for assigned in leaving:
                assigned.leave()
        return leaving

    def _wait_until_left(self, leaving: list[AssignedPartition]) -> None:
        """Have the loop leave its batches of these partitions, as long as the group will wait.

        In the loop's own thread there is nothing to wait for: it is within `fetch`.
        """
        member = self._membership
        with self._state:
            if get_ident() != member.loop_thread and any(assigned.in_hand for assigned in leaving):
                member.context.worker.interrupt()
                timeout_s = member.options.max_poll_interval * (1 - REVOKE_MARGIN)
                self._state.wait_for(lambda: not any(assigned.in_hand for assigned in leaving), timeout_s)

    def _fence(self, leaving: Iterable[AssignedPartition]) -> None:
        with self._state:
            for assigned in leaving:
                assigned.fence()

    def _unassign(self, client: Consumer, partitions: list[TopicPartition], leaving: list[AssignedPartition]) -> None:
        with self._state:
            for assigned in leaving:
                del self._assigned[assigned.partition]
            if not self._assigned:
                self._question.forget()
        with self._membership.errors_noted():
            client.incremental_unassign(partitions)

    def _report(self, event: Event[...], partitions: list[TopicPartition]) -> None:
        if partitions:
            numbers = sorted(place.partition for place in partitions)
            self._membership.emit(event(topic=self._membership.topic, partitions=numbers))
