"""Transactions that are open for long: what was written behind their begin comes to no reader. Pure."""

from __future__ import annotations

OPEN_LONG_S = 25.0
"""A transaction that is open for so long is told; brokers end those of most producers after a minute."""


class OpenTransactions:
    """Of one topic, by what is measured of it now and then."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[int, float]] = {}

    def complaint(self, topic: str, partition: int, *, stable: int, end: int, now: float) -> str:
        """A sentence on the open transaction of a partition; empty where there is none, or none for long.

        stable: where the oldest open transaction begins; end: the partition's, the same where none is open.
        """
        if stable == end:
            self._since.pop(partition, None)
            return ""
        at, since = self._since.get(partition, (stable, now))
        if at != stable:
            since = now
        self._since[partition] = stable, since
        if now - since < OPEN_LONG_S:
            return ""
        return (
            f"a transaction is open at offset {stable} of partition {partition} of {topic}, and {end - stable} records "
            "wait behind it: have its producer end it, or abort it (kafka-transactions.sh)"
        )
