"""Limits, as rules of one worker: whether a task may start now, by what all workers of the master have started.

Runs in workers and the foreground; the loop's thread alone calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from consumerd.errors import UndecodableError
from consumerd.model.contract import is_overridden
from consumerd.model.limits import ANY, SECOND_NS, Numbers, even_after_ns, key_text, may_take, starts_from_ns
from consumerd.wire import limits
from consumerd.wire.shared_table import HELD, Row, SharedTable
from consumerd.worker.attempts.hooks import Hooks
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.keys import by_fields, by_hook

ASK_AGAIN_NS = SECOND_NS // 250
"""So often a task asks that waits for one of another worker to end."""

ASK_WHO_GIVES_NS = SECOND_NS // 50
"""So often one that waits for numbers, or a part of them."""

STILL_ASKS_NS = SECOND_NS // 20
"""Who was refused longer ago does not ask any more: nothing is left free for it."""

Waiting = Callable[[Hashable], tuple[int, float]]
"""How many tasks wait at a gate, and since when the first of them does."""

LimitKey = Callable[[object], str | None]
"""By what a record is counted; None: with all others that have no key."""


class Limit:
    """A `Rule`: one limit. What this worker holds of it stands in the shared table, in words of its own.

    common_gate: of all tasks, where there is but one: while tasks wait at it no further ones are fetched.
    """

    def __init__(self, name: str, table: SharedTable, key_of: LimitKey | None) -> None:
        """key_of: None where all tasks count together."""
        self.common_gate: Hashable = (name, None) if key_of is None else None
        self._name = name
        self._table = table
        self._key_of = key_of
        self._defined = table.find(limits.row_name(name))
        self._defined_at = None if self._defined is None else self._defined.number
        self._held: dict[Hashable, int] = {}  # by gate: the row in which something is held
        self._asked: dict[Hashable, int] = {}  # by gate: the row in which this worker was refused
        self._placeless: set[Hashable] = set()  # gates for which the table had no row

    def gate(self, task: InHand) -> Hashable:
        if self._key_of is None:
            return self.common_gate
        if self not in task.gates:
            task.gates[self] = self._gate_of(task, self._key_of)
        gate: Hashable = task.gates[self]
        return gate

    def enter(self, task: InHand, now: float) -> float | None:
        gate, now_ns = self.gate(task), int(now * SECOND_NS)
        with self._changing(gate) as row:
            if row is None:
                self._placeless.add(gate)
                return (now_ns + ASK_AGAIN_NS * (1 + len(self._placeless) // 32)) / SECOND_NS
            self._placeless.discard(gate)
            refused_until_ns = self._take(row, now_ns)
            if refused_until_ns is None:
                self._held[gate] = row.number
                row.own[limits.ASKED_NS] = min(1, row.own[limits.ASKED_NS])  # 0 only once `show` has looked
                return None
            self._asked[gate] = row.number
            row.own[limits.ASKED_NS] = now_ns
            return refused_until_ns / SECOND_NS

    def leave(self, task: InHand, *, was_begun: bool) -> bool:
        gate = self.gate(task)
        if not was_begun:
            self._unstart(gate)
        row = self._table.row(self._held[gate])
        row.own[HELD] -= 1
        if not row.own[HELD]:
            del self._held[gate]
        return False

    def show(self, waiting: Waiting) -> None:
        """Write for others to see who waits; called a few times a second."""
        for gate, number in list(self._asked.items()):
            own, (count, since) = self._table.row(number).own, waiting(gate)
            if number != self._defined_at:
                limits.note_waiting(own, count, int(since * SECOND_NS))
            if not count:
                own[limits.ASKED_NS] = 0
                del self._asked[gate]
        if self._defined is not None:
            self._show_own(self._defined.own, waiting)

    # Within

    def _show_own(self, own: memoryview, waiting: Waiting) -> None:
        """In the limit's own row those wait that have no key, and those whose key has no row."""
        without_key = (self._name, None)
        found = {gate: waiting(gate) for gate in self._placeless.difference(self._asked, [without_key])}
        self._placeless = {gate for gate, (count, _) in found.items() if count}
        placeless = sum(count for count, _ in found.values())
        found[without_key] = count, _ = waiting(without_key)
        since = min((since for count, since in found.values() if count), default=0.0)
        limits.note_waiting(own, count, int(since * SECOND_NS), placeless=placeless)

    def _gate_of(self, task: InHand, key_of: LimitKey) -> Hashable:
        try:
            return self._name, key_of(task.attempt.peek())
        except (UndecodableError, ValueError):
            return None  # the attempt says so itself

    def _changing(self, gate: Hashable) -> AbstractContextManager[Row | None]:
        assert isinstance(gate, tuple)
        return self._table.changing(limits.row_name(*gate))

    def _take(self, row: Row, now_ns: int) -> int | None:
        """One more may start, and is counted: None. Else when to ask again."""
        numbers = Numbers() if self._defined is None else limits.in_force(self._defined, row, now_ns)
        if numbers is None or not numbers.at_once:
            return now_ns + ASK_WHO_GIVES_NS * (1 + len(self._asked) // 128)
        if numbers.at_once != ANY:
            held, asked = row.of_all(HELD), row.of_all(limits.ASKED_NS)
            asking = [own for own, at_ns in zip(held, asked, strict=True) if now_ns - at_ns < STILL_ASKS_NS]
            if not may_take(numbers.at_once, row.own[HELD], held, asking):
                return now_ns + ASK_AGAIN_NS * (1 + len(self._asked) // 32)
        if numbers.interval_ns:
            even_ns = row.words[limits.EVEN_NS]
            from_ns = starts_from_ns(even_ns, numbers.interval_ns, now_ns)
            if from_ns > now_ns:
                return from_ns
            row.words[limits.EVEN_NS] = even_after_ns(even_ns, numbers.interval_ns, now_ns)
            if row.number != self._defined_at and row.words[limits.GIVEN] != limits.KEPT:
                row.idle_from(row.words[limits.EVEN_NS])
        row.words[limits.STARTED] += 1
        row.own[HELD] += 1
        return None

    def _unstart(self, gate: Hashable) -> None:
        """One that was counted as started has not: the next one may start as much earlier."""
        with self._changing(gate) as row:
            if row is None:
                return
            row.words[limits.STARTED] -= 1
            if row.words[limits.EVEN_NS]:
                row.words[limits.EVEN_NS] -= min(row.words[limits.EVEN_NS], row.words[limits.INTERVAL_NS])


def limits_of(consumer: Any, context: WorkerContext, hooks: Hooks) -> list[Limit]:  # the user's class
    """The limits that hold for a consumer, in the order in which it lists them."""
    listed = context.limits.items()
    return [Limit(name, context.table, _key_by(consumer, name, limit.by, hooks)) for name, limit in listed]


def _key_by(consumer: Any, name: str, field: str | None, hooks: Hooks) -> LimitKey | None:  # the user's class
    if is_overridden(type(consumer), "limit_key"):
        return by_hook("limit_key", partial(consumer.limit_key, name), hooks, key_text, None)
    if field is None:
        return None
    value_of = by_fields(field, hooks, f"the limit {name}", then="such tasks are counted together")
    return lambda record: key_text(value_of(record))
