"""The limits in force, as they stand in the shared table. Runs in the master."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from consumerd import clock
from consumerd.config.shape import LimitSettings, Settings
from consumerd.errors import ConsumerdError
from consumerd.model.limits import ANY, SECOND_NS
from consumerd.wire.limits import Use, define, hosts_of, uses
from consumerd.wire.shared_table import NEVER, SharedTable
from consumerd.wire.status import LimitStatus

HelpWith = Callable[[Settings | None], None]


class Limits:
    """Gives limits their numbers, at the start and whenever a reload changes some, and shows how they are used."""

    def __init__(self, table: SharedTable, settings: Settings, help_with: HelpWith) -> None:
        """help_with: has the helper help with the limits of these settings; None: with none."""
        self._table = table
        self._help_with = help_with
        self._helped: Settings | None = None
        self._configured: Mapping[str, LimitSettings] = {}
        self.define(settings)

    def define(self, settings: Settings) -> None:
        """Have these limits from now on. ConsumerdError where that cannot be done now; some may be changed then."""
        if settings.limits == self._configured:
            return
        self._help_with(None)  # while the numbers change nobody else writes some
        needs_help = False
        for name, limit in settings.limits.items():
            has_numbers, is_shared = limit.numbers is not None, settings.is_shared(limit)
            needs_help = needs_help or has_numbers or is_shared
            if not define(self._table, name, limit.fixed, are_given=has_numbers, is_shared=is_shared):
                self._help_with(self._helped)  # what is in force goes on
                raise ConsumerdError(f"there is no place for the limit {name} now: reload again")
        self._configured = settings.limits
        self._helped = settings if needs_help else None
        if needs_help:
            self._help_with(settings)

    def shown(self) -> list[LimitStatus]:
        """Each limit, in all, and below it each key of it that is in use; those first for which tasks wait longest."""
        if not self._configured:
            return []
        now_ns = int(clock.monotonic() * SECOND_NS)
        found = uses(self._table)
        return [each for name in self._configured for each in self._of(name, found, now_ns)]

    def _of(self, name: str, found: list[Use], now_ns: int) -> Iterator[LimitStatus]:
        status = partial(_status, self._configured[name].by, hosts_of(self._table, name, now_ns), now_ns)
        mine = sorted((use for use in found if use.limit == name), key=lambda use: use.waiting_since_ns or NEVER)
        own = [use for use in mine if use.key is None]
        keys = [use for use in mine if use.key is not None]
        for use in own:
            since_ns = min((each.waiting_since_ns for each in mine if each.waiting_since_ns), default=0)
            running, waiting = sum(each.running for each in mine), sum(each.waiting + each.placeless for each in mine)
            placeless = use.placeless if self._table.times_full else 0  # else they wait for a lock alone
            whole = replace(use, running=running, waiting=waiting, waiting_since_ns=since_ns)
            yield status(whole, placeless=placeless)
        yield from map(status, keys)


def _status(by: str | None, hosts: tuple[int, bool], now_ns: int, use: Use, *, placeless: int = 0) -> LimitStatus:
    return LimitStatus(
        limit=use.limit,
        by=by,
        key=use.key,
        at_once=None if use.numbers.at_once == ANY else use.numbers.at_once,
        per_second=None if use.numbers.per_second is None else round(use.numbers.per_second, 3),
        running=use.running,
        waiting=use.waiting,
        placeless=placeless,
        hosts=hosts[0] or None,
        is_unshared=hosts[1],
        first_waits_s=round((now_ns - use.waiting_since_ns) / SECOND_NS, 3) if use.waiting_since_ns else None,
    )
