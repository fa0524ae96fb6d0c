"""Partitions come and go, again and again, though no worker of ours begins or ends: somebody else moves the group."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd import events
from consumerd.doctor.facts import Facts, Finding, Step
from consumerd.doctor.past import Happened

WITHIN_S = 120.0
OURS_S = 20.0
"""So long after a worker began or ended, partitions move for that."""
QUIET_S = 30.0
"""After so long without a move it is over."""
MANY_TIMES = 6
SAME_S = 1.0
"""What comes within such a time of each other is one move."""

MOVES = (events.partitions_assigned.name, events.partitions_revoked.name, events.partitions_lost.name)
OURS = (events.worker_forked.name, events.worker_ready.name, events.worker_ended.name)


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        happened = facts.recent(pool.name, WITHIN_S + OURS_S)
        ours = [each.at for each in happened if each.name in OURS]
        moves = _moves([each for each in happened if each.name in MOVES and not _is_ours(each.at, ours)])
        moves = [at for at in moves if at >= facts.at - WITHIN_S]
        if len(moves) < MANY_TIMES or facts.at - moves[-1] > QUIET_S:
            continue
        yield Finding(
            "partitions_restless",
            pool.name,
            f"Partitions of {pool.name} come and go though its workers stay: another member moves its consumer group.",
            [f"they moved {len(moves)} times within {WITHIN_S:.0f} s, the last time {facts.at - moves[-1]:.0f} s ago"],
            [
                Step(f"consumerd events {pool.name} --recent 50", "see which partitions come and go; Ctrl-C ends it"),
                Step("kafka-consumer-groups.sh --bootstrap-server BROKER --describe --members --group GROUP", _WHO),
                Step(
                    "",
                    "end that member, or give it a group of its own; of a host that starts workers it passes",
                ),
            ],
            "Do not restart consumerd, and do not scale: each of it moves the group once more.",
        )


_WHO = "see who else is a member: another host, a forgotten process, a second state directory"


def _is_ours(at: float, ours: list[float]) -> bool:
    return any(0.0 <= at - ours_at <= OURS_S or 0.0 <= ours_at - at <= SAME_S for ours_at in ours)


def _moves(moves: list[Happened]) -> list[float]:
    """When they began: what several workers tell of one move counts once."""
    found: list[float] = []
    for at in sorted(each.at for each in moves):
        if not found or at - found[-1] > SAME_S:
            found.append(at)
    return found
