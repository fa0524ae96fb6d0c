"""Events as they come, and the audit log: who has asked for what, and what became of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from consumerd.dashboard.memory import Item
from consumerd.dashboard.page import Context, Page, Visit
from consumerd.errors import ConsumerdError
from consumerd.state.state_dir import StateDirectory

MOST_EVENTS = 200
MOST_ENTRIES = 200
TAIL_BYTES = 512 * 1024
LEVELS = ("debug", "info", "warning", "error")
ANY = "all"

Entry = dict[str, Any]  # a line of the audit log


def show_events(visit: Visit) -> Context:
    """The last events that the filter lets through, the newest first."""
    items = visit.memory.items
    return {
        "items": list(islice(_matching(reversed(items), visit), MOST_EVENTS)),
        "names": sorted({item["event"] for item in items}),
        "targets": [] if visit.seen.metrics is None else [pool.name for pool in visit.seen.metrics.status.pools],
        "levels": LEVELS,
        "level": _level(visit),
    }


def _level(visit: Visit) -> str:
    level = visit.query.get("level", "")
    return level if level in LEVELS else "info"


def _matching(items: Iterator[Item], visit: Visit) -> Iterator[Item]:
    target, name, lowest = visit.query.get("target", ""), visit.query.get("event", ""), LEVELS.index(_level(visit))
    for item in items:
        consumer = str(item.get("consumer") or "")
        is_meant = not target or consumer == target or consumer.startswith(f"{target}/")
        if is_meant and name in ("", item["event"]) and LEVELS.index(item["level"]) >= lowest:
            yield item


def show_audit(visit: Visit) -> Context:
    """The last entries, the newest first."""
    return {"entries": list(islice(entries(StateDirectory(visit.state_dir).audit_log), MOST_ENTRIES))}


def entries(log: Path) -> Iterator[Entry]:
    """Of the end of the audit log, the newest first; a line that a kill has torn is passed over. ConsumerdError."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConsumerdError(f"the audit log cannot be read: {error.strerror}") from error
    for line in reversed(lines[1:] if size > TAIL_BYTES else lines):
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield _told(entry)


def _told(entry: Entry) -> Entry:
    """As the template shows it: who, what, with what, how it ended."""
    who = entry.get("via") or entry.get("user") or ""
    known = ("at", "user", "uid", "pid", "via", "method", "params", "failed", "event")
    params = entry.get("params")
    fields: Entry = params if isinstance(params, dict) else {}
    more = {name: value for name, value in entry.items() if name not in known}
    return {
        "at": str(entry.get("at", "")),
        "who": str(who),
        "what": str(entry.get("method") or entry.get("event") or ""),
        "is_event": "event" in entry,
        "fields": {**fields, **more},
        "failed": str(entry.get("failed") or ""),
    }


EVENTS = Page("/events", "Events", "events.html", show_events, is_listed=True)
AUDIT = Page("/audit", "Audit", "audit.html", show_audit, is_listed=True)
PAGES = (EVENTS, AUDIT)
