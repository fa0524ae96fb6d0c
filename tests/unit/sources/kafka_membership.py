"""A membership without a broker, for the tests of what works on one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from consumerd.clock import Clock
from consumerd.events.facts import Fact
from consumerd.sources.kafka.identity import Identity, IdentityQuestion
from consumerd.sources.kafka.membership import Membership
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.partition import AssignedPartition
from consumerd.testing.clock import ManualClock
from consumerd.testing.source_context import NothingParked, StandInWorker, context_for_tests

OPTIONS = KafkaOptions(brokers="broker", topic_name="logins", consumer_group="group")


def membership_of(
    facts: list[Fact],
    *,
    partitions: int = 0,
    ask: Callable[[], Identity] = lambda: Identity("logins", "uuid"),
    clock: Clock | None = None,
    consumer: object = None,
    parked: NothingParked | None = None,
) -> Membership:
    """A member that has the first `partitions` partitions from offset 0, and whose worker is to stop."""
    clock = clock or ManualClock()
    context = replace(
        context_for_tests(consumer, OPTIONS, parked=parked),
        emit=facts.append,
        clock=clock,
        worker=StandInWorker(clock, is_stopping=True),
        payload_limit_bytes=100,
    )
    membership = Membership(context, IdentityQuestion(OPTIONS.topic_name, ask, clock))
    membership.assigned.update({number: AssignedPartition(number, 0) for number in range(partitions)})
    return membership
