"""The tasks that workers died of, as the events of a pool tell of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from consumerd import events
from consumerd.doctor.past import Happened


class Suspected(NamedTuple):
    """deaths: how many workers died while they ran the task. crashes: how many of them count, of `limit`.
    end: how the last one ended.
    """

    task: str
    deaths: int
    crashes: int
    limit: int
    end: str


def suspects_in(happened: Sequence[Happened]) -> list[Suspected]:
    """Those of one pool that have not killed as many workers as they may; whose worker died last stands last."""
    found: dict[str, Suspected] = {}
    for each in happened:
        if each.name == events.task_suspected.name:
            fields = each.fields
            before = found.pop(fields["task"], None)
            deaths = 1 if before is None else before.deaths + 1
            found[fields["task"]] = Suspected(fields["task"], deaths, fields["crashes"], fields["limit"], fields["end"])
        elif each.name in (events.suspect_cleared.name, events.task_died.name):
            found.pop(each.fields["task"], None)
    return [each for each in found.values() if each.crashes < each.limit]


def suspects_told(happened: Sequence[Happened], at_most: int) -> list[str]:
    """The last of them in words, without full stops."""
    found = suspects_in(happened)
    return [told(each) for each in found[max(0, len(found) - at_most) :]]


def told(task: Suspected) -> str:
    """In words, without a full stop."""
    one = f"A worker died ({task.end}) while it ran"
    workers = one if task.deaths == 1 else f"{task.deaths} workers died (the last: {task.end}) while they ran"
    return f"{workers} {task.task}: that counts as {task.crashes} of {task.limit} crashes, after which it is parked"
