"""What a member of a consumer group was assigned, as Kafka keeps it. Runs in workers and the foreground."""

from __future__ import annotations

import struct


def assigned_partitions(assignment: bytes, topic: str) -> frozenset[int]:
    """The partitions of one topic in an assignment of the consumer protocol; none in what is empty or is not one.

    Its form, in the network's byte order: a version (16 bits), how many topics (32); for each its name behind the
    name's length (16), how many partitions (32), and their numbers (32 each). What the assignor adds comes behind.
    """
    try:
        return frozenset(_numbers(assignment, topic.encode()))
    except struct.error:
        return frozenset()


def _numbers(assignment: bytes, topic: bytes) -> list[int]:
    found: list[int] = []
    at = 6
    for _ in range(struct.unpack_from(">hi", assignment)[1]):
        (length,) = struct.unpack_from(">h", assignment, at)
        name, count = struct.unpack_from(f">{length}si", assignment, at + 2)
        numbers = struct.unpack_from(f">{count}i", assignment, at + 2 + length + 4)
        if name == topic:
            found += numbers
        at += 2 + length + 4 + 4 * count
    return found
