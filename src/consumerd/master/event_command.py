"""`on_event`: a command of the user's, executed when a pool fails or recovers, or a task dies. Runs in the master.

One at a time, each bounded; what comes faster than `MOST_A_MINUTE` is counted and said, not queued without end.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from consumerd import clock, events
from consumerd.events.facts import Audience, Fact, Level, plain
from consumerd.master.children import Children, End
from consumerd.master.host.launcher import Launcher
from consumerd.model.exits import described

MOST_A_MINUTE = 30
"""Of each kind of event, so that a flood of dead tasks does not hide that a pool has failed."""

MOST_WAITING = 30
MINUTE_S = 60.0
MAY_TAKE_S = 30.0
LONGEST_TEXT = 8_000


@dataclass(frozen=True, slots=True)
class Event:
    """What the command is told of. name: `pool_failed`, `pool_recovered` or `task_died`; at: wall time."""

    name: str
    at: float
    level: Level
    fields: Mapping[str, object]

    def as_json(self, suppressed: int) -> str:
        """One object. suppressed: how many of its kind were not told before it."""
        fields = {**self.fields, "suppressed": suppressed}
        return json.dumps(plain(self.name, self.level, at=self.at, fields=fields, longest=LONGEST_TEXT), default=repr)

    @property
    def consumer(self) -> str:
        return str(self.fields.get("consumer", ""))

    def variables(self, suppressed: int) -> dict[str, str]:
        return {
            "CONSUMERD_EVENT": self.name,
            "CONSUMERD_CONSUMER": self.consumer,
            "CONSUMERD_LEVEL": self.level.value,
            "CONSUMERD_SUPPRESSED": str(suppressed),
        }


def event_of(fact: Fact, at: float) -> Event | None:
    """The event that a fact is, or None."""
    event = events.event_of(fact)
    if event is None or Audience.COMMAND not in event.to:
        return None
    return Event(event.own_name, at, fact.level, fact.fields)


@dataclass
class Allowance:
    """How often something may happen: `MOST_A_MINUTE` in any minute. suppressed: how often it might not, of late."""

    taken: deque[float] = field(default_factory=deque)
    suppressed: int = 0

    def take(self, now: float, *, has_room: bool = True) -> bool:
        """Whether it may happen now; counted either way. has_room: whether it could wait for its turn."""
        while self.taken and now - self.taken[0] >= MINUTE_S:
            self.taken.popleft()
        if len(self.taken) >= MOST_A_MINUTE or not has_room:
            self.suppressed += 1
            return False
        self.taken.append(now)
        return True

    def take_suppressed(self) -> int:
        suppressed, self.suppressed = self.suppressed, 0
        return suppressed


class EventCommand:
    """A listener of facts. command: what to execute now, empty for nothing; state_dir: so that it can use the verbs."""

    def __init__(
        self,
        launcher: Launcher,
        children: Children,
        emit: Callable[[Fact], None],
        *,
        command: Callable[[], Sequence[str]],
        state_dir: str,
    ) -> None:
        self._launcher = launcher
        self._children = children
        self._emit = emit
        self._command = command
        self._variables = {"CONSUMERD_STATE_DIR": state_dir}
        self._waiting: deque[Event] = deque()
        self._allowances: dict[str, Allowance] = {}
        self._is_running = False
        self._is_closed = False

    def __call__(self, fact: Fact) -> None:
        event = event_of(fact, clock.wall())
        if event is None or not self._command() or self._is_closed:
            return
        allowance = self._allowances.setdefault(event.name, Allowance())
        if allowance.take(clock.monotonic(), has_room=len(self._waiting) < MOST_WAITING):
            self._waiting.append(event)
            asyncio.get_running_loop().call_soon(self._start_next)  # the fact is told to everybody first
        elif allowance.suppressed == 1:
            asyncio.get_running_loop().call_later(MINUTE_S, self._say_suppressed, event.name)

    def close(self) -> None:
        """Start no more."""
        self._is_closed = True

    def _start_next(self) -> None:
        command = self._command()
        while self._waiting and not self._is_running and not self._is_closed and command:
            self._start(command, self._waiting.popleft())

    def _start(self, command: Sequence[str], event: Event) -> None:
        suppressed = self._allowances[event.name].take_suppressed()
        environment = {**os.environ, **self._variables, **event.variables(suppressed)}
        try:
            commanded = self._launcher.command(command, event.as_json(suppressed), environment)
        except OSError as error:
            self._emit(events.event_command_not_executed(on=event.name, command=command[0], error=str(error)))
            return
        self._is_running = True
        self._children.add(commanded, partial(self._ended, event), may_take_s=MAY_TAKE_S)

    def _ended(self, event: Event, end: End) -> None:
        self._is_running = False
        fact = events.event_command_ended(
            on=event.name,
            end=described(end.status),
            consumer=event.consumer,
            took_s=round(end.took_s, 3),
            output=end.last_words[-1000:],
        )
        self._emit(fact.at(Level.DEBUG) if end.status == 0 else fact)
        self._start_next()

    def _say_suppressed(self, name: str) -> None:
        if suppressed := self._allowances[name].take_suppressed():
            self._emit(events.events_suppressed(on=name, events=suppressed))
