"""What came before: figures over time, and the last events of the master. It outlives the looks of all browsers."""

from __future__ import annotations

import heapq
import itertools
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

from consumerd import events
from consumerd.clock import SYSTEM_CLOCK
from consumerd.dashboard.bugs import reported
from consumerd.dashboard.history import History
from consumerd.dashboard.view.charts import Mark
from consumerd.errors import ConsumerdError
from consumerd.events.facts import Event
from consumerd.verbs.events import Events
from consumerd.wire.method import follow
from consumerd.wire.metrics import Metrics

KEPT = 1_000
"""Of rare events, and of frequent ones; as the master does."""

OF_TASKS = frozenset(event.name for event in events.DECLARED if event.is_folded) | {events.failures_folded.name}
"""What is told of single tasks, and would leave no room for anything else."""

MOST_MARKS = 400
AGAIN_S = 2.0

Item = Mapping[str, Any]  # an event as JSON brought it

Told = Callable[[Item], str]

MARKED: Mapping[Event[Any], tuple[str, Told]] = {
    events.master_started: ("deploy", lambda item: "the master started"),
    events.configuration_reloaded: (
        "deploy",
        lambda item: f"reload: {', '.join(item['changes'])}",
    ),
    events.pool_restarting: ("deploy", lambda item: "restart of all workers"),
    events.pool_scaled: ("scale", lambda item: f"{item['workers']} workers wanted"),
    events.pool_paused: ("scale", lambda item: "paused"),
    events.pool_resumed: ("scale", lambda item: "resumed"),
    events.worker_ended: ("end", lambda item: f"worker {item.get('worker_id')} ended: {item.get('end')}"),
}
"""The events that a chart marks: how, and with which words."""

_MARKED = {event.name: found for event, found in MARKED.items()}


class Memory:
    """hour, day: of each pool; day: only with a file. One thread notes events, and any may look.

    why_still: why no event comes now, as a sentence; empty while they come.
    """

    def __init__(self, day: History | None = None) -> None:
        self.hour = History(10.0, 360)
        self.day = day
        self.why_still = ""
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._rare: deque[tuple[int, Item]] = deque(maxlen=KEPT)
        self._frequent: deque[tuple[int, Item]] = deque(maxlen=KEPT)
        self._marks: deque[tuple[str, Mark]] = deque(maxlen=MOST_MARKS)

    @property
    def items(self) -> tuple[Item, ...]:
        """The last events, the newest last; rare ones are kept apart from those of single tasks."""
        with self._lock:
            return tuple(item for _, item in heapq.merge(self._rare, self._frequent, key=itemgetter(0)))

    def note(self, metrics: Metrics, at: float) -> None:
        """What the master has answered."""
        of_pools = {pool.name: pool for pool in metrics.pools}
        for history in filter(None, (self.hour, self.day)):
            for pool in metrics.status.pools:
                if pool.name in of_pools:
                    history.note(pool, of_pools[pool.name], at)
            history.keep_only(set(of_pools))

    def note_item(self, item: Item) -> None:
        """An event of the master's."""
        name = item["event"]
        with self._lock:
            is_frequent = name in OF_TASKS or item["level"] == "debug"
            (self._frequent if is_frequent else self._rare).append((next(self._numbers), item))
        if name in _MARKED and not (name == events.worker_ended.name and item["level"] == "info"):
            kind, tell = _MARKED[name]
            at = datetime.fromisoformat(item["timestamp"]).timestamp()
            with self._lock:
                self._marks.append((str(item.get("consumer") or ""), Mark(at, tell(item), kind)))

    def marks(self, consumer: str) -> list[Mark]:
        """What happened to a pool, and to all."""
        with self._lock:
            return [mark for whose, mark in self._marks if whose in ("", consumer)]


class Follower:
    """Follows the master's events in a thread of its own, for as long as the process lives."""

    def __init__(self, control_socket: Path, memory: Memory) -> None:
        self._socket = control_socket
        self._memory = memory
        self._bug = ""

    def start(self) -> None:
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def _run(self) -> None:
        while True:
            self.follow()
            SYSTEM_CLOCK.sleep(AGAIN_S)

    def follow(self) -> None:
        """Note what comes, as long as it does; what keeps it from coming is told by the memory."""
        try:
            for item in self._new():
                self._memory.note_item(item)
        except ConsumerdError as error:
            self._memory.why_still = str(error)
        except Exception as error:  # noqa: BLE001 - the top of a thread, which goes on: the log has it, and pages tell
            self._memory.why_still = self._bug = reported(error, self._bug)

    def _new(self) -> Iterator[Item]:
        """What has not been seen: after a break the master tells again what it keeps."""
        yield from self._unseen(Events(recent=2 * KEPT, follow=False))
        yield from self._unseen(Events(recent=KEPT))  # a follower for whom more wait at once would be cut off

    def _unseen(self, asked: Events) -> Iterator[Item]:
        known = {_identity(item) for item in self._memory.items}
        for place, item in enumerate(follow(self._socket, asked)):
            if asked.follow:
                self._memory.why_still = ""
            if place >= asked.recent or _identity(item) not in known:
                yield item


def _identity(item: Item) -> int:
    return hash(json.dumps(item, sort_keys=True))
