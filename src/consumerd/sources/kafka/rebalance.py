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
from consumerd.sources.kafka.arrivals import Arrivals
from consumerd.sources.kafka.commits import Commits
from consumerd.sources.kafka.identity import UNKNOWN_UUID, is_uuid
from consumerd.sources.kafka.membership import AssignedPartition, Membership

COMMITTED_S = 5.0
AGAIN_S = 1.0
"""Between two questions to a parking store that does not answer."""

REVOKE_MARGIN = 0.1
"""The part of `max_poll_interval` that a revoke leaves for the commit, and for the poll before it."""


class Rebalance:
    """What is done when partitions are assigned, revoked, lost, or turn out to be another topic's.

    An assigned partition is held until it is known what of it is parked. store_away: why some are held still.
    """

    def __init__(self, membership: Membership, arrivals: Arrivals, commits: Commits) -> None:
        self._membership = membership
        self._assigned = membership.assigned
        self._state = membership.state
        self._health = membership.health
        self._question = membership.question
        self._arrivals = arrivals
        self._commits = commits
        self._ask_store_at = 0.0
        self.store_away: StoreAwayError | None = None

    # The client's callbacks

    def on_assign(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Begin at the committed positions, once it is known what is parked above them."""
        places = self._with_positions(client, partitions)
        coming = self._begin(places)
        self._health.note_joined(len(partitions))
        freed = self.free_held()
        self._membership.switch(client.resume, freed)  # librdkafka remembers a pause, also one of an earlier assignment
        with self._membership.errors_noted():
            client.incremental_assign(places)
        self._pause_held(client, coming)
        self._report(events.partitions_assigned, partitions)

    def on_revoke(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """Let the loop leave them, commit what is finished, let go."""
        leaving = self._begin_leaving(partitions)
        self._wait_until_left(leaving)
        self._fence(leaving)
        self._commits.send_now(leaving)
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

    @property
    def is_store_due(self) -> bool:
        """Whether partitions are held and it is time to ask the parking store again."""
        return self.store_away is not None and self._membership.clock.monotonic() >= self._ask_store_at

    def free_held(self) -> list[AssignedPartition]:
        """Ask what is parked of all partitions that are held; those that were freed."""
        with self._state:
            held = [assigned for assigned in self._assigned.values() if assigned.is_held]
        freed: list[AssignedPartition] = []
        try:
            for assigned in held:
                self._free(assigned)
                freed.append(assigned)
        except StoreAwayError as error:
            self.store_away = error
            self._ask_store_at = self._membership.clock.monotonic() + AGAIN_S
        else:
            self.store_away = None
        return freed

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
                self._arrivals.drop(assigned)
        places = [TopicPartition(topic, each.partition, OFFSET_BEGINNING) for each in before]
        coming = self._begin(places)
        self.free_held()
        self._pause_held(client, coming)
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
        return coming

    def _free(self, assigned: AssignedPartition) -> None:
        identity, position = self._question.awaited(), max(assigned.durable, UNKNOWN + 1)
        ids = self._membership.context.parked.parked_from(identity.topic, assigned.partition, position)
        with self._state:
            assigned.topic_uuid = identity.uuid if identity.is_known else ""
            assigned.parked_ids = ids
            if not self._membership.is_iterated:  # there it is not positions that are skipped, but tasks yielded
                assigned.parked = identity.positions(assigned.partition, ids)
            assigned.is_held = False

    def _pause_held(self, client: Consumer, coming: Iterable[AssignedPartition]) -> None:
        held = [assigned for assigned in coming if assigned.is_held]
        if held:
            self._membership.switch(client.pause, held)

    def _begin_leaving(self, partitions: list[TopicPartition]) -> list[AssignedPartition]:
        with self._state:
            leaving = [found for place in partitions if (found := self._assigned.get(place.partition)) is not None]
            for assigned in leaving:
                assigned.is_leaving = True
                self._arrivals.drop(assigned)
        return leaving

    def _wait_until_left(self, leaving: list[AssignedPartition]) -> None:
        """Have the loop leave its batches of these partitions, as long as the group will wait.

        In the loop's own thread there is nothing to wait for: it is within `fetch`.
        """
        member = self._membership
        with self._state:
            if member.has_in_hand(leaving) and get_ident() != member.loop_thread:
                member.context.worker.interrupt()
                timeout_s = member.options.max_poll_interval * (1 - REVOKE_MARGIN)
                self._state.wait_for(lambda: not member.has_in_hand(leaving), timeout_s)

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
