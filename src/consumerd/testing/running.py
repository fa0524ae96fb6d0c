"""Runs a consumer on records, in the caller's thread: no process, no server, and time that a test moves.

run = Run(LoginConsumer, [{"platform": 1, "uid": 7, "app_id": 3, "now": 12}])
run.until_idle()
assert run.dead() == {}
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from consumerd.config.shape import CommonKeys
from consumerd.events.facts import Fact
from consumerd.model.parked import ParkedState
from consumerd.model.shards import Shard
from consumerd.sources.contract import Source
from consumerd.sources.memory.options import MemoryOptions
from consumerd.sources.memory.source import MemorySource
from consumerd.testing.clock import ManualClock
from consumerd.testing.stores import MemoryStore
from consumerd.wire.board import Board
from consumerd.worker.interrupts import Interrupts
from consumerd.worker.orders import Orders
from consumerd.worker.runtime import Runtime, Surroundings
from consumerd.worker.suspects import Told
from consumerd.worker.timer import StopDeadline

NAME = "test/consumer"
TURNS_AT_MOST = 10_000


class Run:
    """A consumer on records in memory, or on a source of the caller's.

    consumer: the instance; store: what is parked; facts: what was told; clock: moved by `clock.advance`.
    suspects: put there what a master would tell; cleared: the tasks of which it was told that they are none any more.
    """

    def __init__(
        self,
        consumer_class: type,
        records: Sequence[object] = (),
        *,
        configs: dict[str, Any] | None = None,  # the user's own keys have any value
        source: Source | None = None,
        shard: Shard | None = None,
    ) -> None:
        configs = configs or {}
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.facts: list[Fact] = []
        self.interrupts = Interrupts()
        self.suspects = Told()
        self.cleared: list[str] = []
        self.source = source or MemorySource()
        self.board, board_fd = Board.create()
        os.close(board_fd)
        self.consumer = consumer_class(0, **configs)
        surroundings = Surroundings(
            name=NAME,
            common=CommonKeys.model_validate(configs),
            shard=shard or Shard(0, 1),
            member=None,
            lease_owner="test#0",
            options=MemoryOptions(records=list(records)),
            source=self.source,
            store=self.store.as_thread(),
            interrupts=self.interrupts,
            words=self.board.words,
            deadline=StopDeadline(25.0),
            emit=self.facts.append,
            redact=str,
            on_ready=lambda: None,
            clock=self.clock,
            orders=replace(Orders.of_nobody(), told=self.suspects),
            tell_cleared=self.cleared.append,
            wait=self.clock.sleep,
        )
        self.runtime = Runtime(self.consumer, surroundings)
        self.consumer._runtime = self.runtime  # noqa: SLF001 - the base class keeps it there
        self.loop = self.runtime.open()

    def until_idle(self) -> None:
        """Turn until nothing is in hand, nothing was handled and nothing is due; time passes only by idle waits."""
        for _ in range(TURNS_AT_MOST):
            before = self._counted()
            self.loop.turn()
            if self.loop.is_stopping or (self._counted() == before and self.source.unsettled() == 0):
                return
        raise AssertionError(f"the consumer was not idle after {TURNS_AT_MOST} turns")

    def _counted(self) -> tuple[int, ...]:
        """What is counted of tasks that were attempted."""
        reading = self.board.read()
        return reading.handled, reading.failed, reading.parked

    def turn(self, times: int = 1) -> None:
        """So many turns of the loop."""
        for _ in range(times):
            self.loop.turn()

    def dead(self) -> dict[str, str]:
        """The errors of the dead tasks, by task id."""
        return self._errors(ParkedState.DEAD)

    def waiting(self) -> dict[str, str]:
        """The errors of the tasks that wait to be tried again, by task id."""
        return self._errors(ParkedState.WAITING)

    def told(self, name: str) -> list[Fact]:
        """The facts of this name, in order."""
        return [fact for fact in self.facts if fact.name == name]

    def _errors(self, state: ParkedState) -> dict[str, str]:
        return {task_id: row.error for task_id, row in self.store.rows.items() if row.state is state}
