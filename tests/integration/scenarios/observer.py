"""Looks on from outside, through the clerk of a broker: what a group has committed, its members, what a topic holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from servers.clerk import Clerk, ClerkError

ANSWER_S = 60.0


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group: its `group.instance.id`, and the partitions that it holds."""

    instance: str
    partitions: frozenset[int]

    @property
    def slot(self) -> int:
        """The slot, which is the last part of the instance's name."""
        return int(self.instance.rpartition(".")[2])


class GroupObserver:
    """One group on one topic."""

    def __init__(self, clerk: Clerk, *, topic: str, group: str) -> None:
        self.topic = topic
        self.group = group
        self.trouble: ClerkError | None = None  # with the last question, for a message of a test that failed
        self._clerk = clerk

    def committed(self) -> dict[int, int]:
        """The committed offset of each partition that has one; empty while the broker is away."""
        return dict(self._asked("committed", group=self.group))

    def committed_total(self) -> int:
        """How many records are below the committed offsets, of a topic that starts at 0."""
        return sum(self.committed().values())

    def ends(self, partition_count: int) -> dict[int, int]:
        """The end offset of each partition."""
        return dict(self._clerk.ask("ends", within_s=ANSWER_S, topic=self.topic, partitions=partition_count))

    def members(self) -> tuple[Member, ...]:
        """The group's members; empty while the broker is away."""
        found = self._asked("members", group=self.group)
        return tuple(Member(instance, frozenset(partitions)) for instance, partitions in found)

    def _asked(self, question: str, **arguments: object) -> list[list[Any]]:  # Any: as JSON has tuples
        """The clerk's answer; none while the broker is away, or when the clerk died over it."""
        try:
            answer: list[list[Any]] = self._clerk.ask(question, within_s=ANSWER_S, topic=self.topic, **arguments)
        except ClerkError as error:
            self.trouble = error
            return []
        self.trouble = None
        return answer
