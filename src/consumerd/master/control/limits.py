"""The limits in force, as they stand in the shared table. Runs in the master."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from consumerd import clock
from consumerd.config.shape import LimitSettings
from consumerd.errors import ConsumerdError
from consumerd.model.limits import SECOND_NS
from consumerd.wire.limits import Use, define, uses
from consumerd.wire.shared_table import NEVER, SharedTable
from consumerd.wire.status import LimitStatus


class Limits:
    """Gives limits their numbers, at the start and whenever a reload changes some, and shows how they are used."""

    def __init__(self, table: SharedTable, configured: Mapping[str, LimitSettings]) -> None:
        self._table = table
        self._configured: Mapping[str, LimitSettings] = {}
        self.define(configured)

    def define(self, configured: Mapping[str, LimitSettings]) -> None:
        """Have these limits from now on. ConsumerdError where that cannot be done now; some may be changed then."""
        for name, limit in configured.items():
            if not define(self._table, name, limit.numbers):
                raise ConsumerdError(f"there is no place for the limit {name} now: reload again")
        self._configured = configured

    def shown(self) -> list[LimitStatus]:
        """Each limit, in all, and below it each key of it that is in use; those first for which tasks wait longest."""
        now_ns = int(clock.monotonic() * SECOND_NS)
        found = uses(self._table)
        return [each for name in self._configured for each in self._of(name, found, now_ns)]

    def _of(self, name: str, found: list[Use], now_ns: int) -> Iterator[LimitStatus]:
        by = self._configured[name].by
        mine = sorted((use for use in found if use.limit == name), key=lambda use: use.waiting_since_ns or NEVER)
        own = [use for use in mine if use.key is None]
        keys = [use for use in mine if use.key is not None]
        for use in own:
            since_ns = min((each.waiting_since_ns for each in mine if each.waiting_since_ns), default=0)
            running, waiting = sum(each.running for each in mine), sum(each.waiting for each in mine)
            yield _status(replace(use, running=running, waiting=waiting, waiting_since_ns=since_ns), by, now_ns)
        yield from (_status(use, by, now_ns) for use in keys)


def _status(use: Use, by: str | None, now_ns: int) -> LimitStatus:
    return LimitStatus(
        limit=use.limit,
        by=by,
        key=use.key,
        at_once=use.numbers.at_once or None,
        per_second=None if use.numbers.per_second is None else round(use.numbers.per_second, 3),
        running=use.running,
        waiting=use.waiting,
        first_waits_s=round((now_ns - use.waiting_since_ns) / SECOND_NS, 3) if use.waiting_since_ns else None,
    )
