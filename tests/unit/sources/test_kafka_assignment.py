"""What Kafka keeps of a member's assignment, read as any client may have written it."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from consumerd.sources.kafka.assignment import assigned_partitions

TOPICS = st.sampled_from(["logins", "login", "logins.v2", "größen"])
PARTITIONS = st.lists(st.integers(0, 2**31 - 1), max_size=5)


def written(version: int, topics: dict[str, list[int]], user_data: bytes) -> bytes:
    parts = [struct.pack(">hi", version, len(topics))]
    for name, partitions in topics.items():
        encoded = name.encode()
        parts += [struct.pack(">h", len(encoded)), encoded]
        parts.append(struct.pack(f">i{len(partitions)}i", len(partitions), *partitions))
    return b"".join(parts) + struct.pack(">i", len(user_data)) + user_data


@given(st.integers(0, 3), st.dictionaries(TOPICS, PARTITIONS), st.binary(max_size=20), TOPICS)
def test_the_partitions_of_a_topic_are_found_among_those_of_others(
    version: int, topics: dict[str, list[int]], user_data: bytes, topic: str
) -> None:
    assert assigned_partitions(written(version, topics, user_data), topic) == frozenset(topics.get(topic, ()))


@given(st.binary(max_size=60))
def test_what_is_no_assignment_has_none_of_the_topic(text: bytes) -> None:
    assert assigned_partitions(text, "logins") == frozenset()


@given(st.dictionaries(TOPICS, PARTITIONS), st.integers(0, 200))
def test_an_assignment_that_breaks_off_raises_nothing(topics: dict[str, list[int]], length: int) -> None:
    assigned_partitions(written(0, topics, b"")[:length], "logins")
