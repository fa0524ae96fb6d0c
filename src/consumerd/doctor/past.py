"""What has happened, and what people have done, as the master's events and its audit log have it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

MOST_EVENTS = 2000
"""All that a master keeps: a thousand of those that are rare, and apart from them as many of single tasks."""

Fields = Mapping[str, Any]  # as each event or method has them


@dataclass(frozen=True, slots=True)
class Happened:
    """An event that the master still keeps. consumer: empty for the master's own. at: on the wall clock."""

    at: float
    name: str
    consumer: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Act:
    """Something that somebody has asked the master for, and that was done.

    by: the user, and in brackets in whose name, where that is somebody else: who is signed in to the page.
    """

    at: float
    by: str
    method: str
    params: Fields

    def concerns(self, consumer: str) -> bool:
        """Whether it was asked of this consumer, of its group, or of all."""
        target = self.params.get("target")
        return target is None or target in (consumer, consumer.partition("/")[0])


def events_in(items: Iterable[object]) -> list[Happened]:
    """Events as the method `events` gives them, oldest first."""
    return list(_events(items))


def _events(items: Iterable[object]) -> Iterator[Happened]:
    for item in items:
        if isinstance(item, Mapping):
            yield Happened(_seconds(item["timestamp"]), item["event"], item.get("consumer", ""), item)


def acts_in(lines: Iterable[str]) -> list[Act]:
    """Lines of the audit log. What was refused is left out, and a line that is cut off."""
    return list(_acts(lines))


def _acts(lines: Iterable[str]) -> Iterator[Act]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # its begin is before what was read
        if isinstance(entry, dict) and "method" in entry and entry.get("failed") is None:
            params = entry.get("params")
            by = f"{entry['user']} ({entry['via']})" if entry.get("via") else entry["user"]
            yield Act(_seconds(entry["at"]), by, entry["method"], params if isinstance(params, dict) else {})


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
