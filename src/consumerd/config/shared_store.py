"""Whether every consumer can reach the parking store: one that runs as another user cannot reach the embedded one."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.config.problems import Problem
from consumerd.config.settings_table import EMBEDDED
from consumerd.config.shape import Document


def unreachable_store_problems(document: Document, uid: int) -> Iterator[Problem]:
    """The state directory is the master's alone, and the embedded store is in it. uid: the master's."""
    if document.settings.parking not in (None, EMBEDDED):
        return
    for consumer in document.consumers:
        if consumer.execution.is_of_another_user(uid):
            sentence = (
                "runs its processes as another user, who cannot reach the embedded parking store of the master: set "
                "consumerd.parking to a database's URL"
            )
            yield Problem(consumer.origin, (*consumer.path, "configs", "user"), sentence)
