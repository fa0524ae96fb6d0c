"""`consumerd limits`: how limits are used, and who waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec

from consumerd.cli.lines import printable, table
from consumerd.cli.verb import Verb, command_of
from consumerd.config.amounts import duration
from consumerd.wire.method import parameter
from consumerd.wire.status import LimitStatus

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls

HEADINGS = ("LIMIT", "KEY", "RUNNING", "AT ONCE", "PER SECOND", "HOSTS", "WAITING", "FIRST")


class LimitsShown(msgspec.Struct, frozen=True):
    """Each limit, in all, and below it each of its keys that is in use; those first for which tasks wait longest."""

    limits: list[LimitStatus]


class ShowLimits(Verb, frozen=True):
    """Show the limits: what they allow, how much of that is used, how many tasks wait, and for how long the first does.

    Of a limit that counts by key, the keys are shown that are in use. Where HOSTS share a limit, the numbers are the
    part of this one; `away`: nothing of it starts, since the parking store does not answer.
    """

    name, result = "limits", LimitsShown
    targets: Annotated[tuple[str, ...], parameter("Those that these list: groups, or group/name.", "[TARGET]...")] = ()

    async def answer(self, master: Controls, by: str) -> LimitsShown:
        listed = {name for pool in master.meant(*self.targets) for name in pool.entry.settings.common.limits}
        return LimitsShown([each for each in master.limits.shown() if each.limit in listed or not self.targets])

    def lines(self, answer: LimitsShown) -> Iterator[str]:
        if not answer.limits:
            yield f"{', '.join(self.targets)} lists no limits" if self.targets else "the configuration has no limits"
            return
        yield from table(HEADINGS, map(_row, answer.limits))


def _row(limit: LimitStatus) -> tuple[str, ...]:
    key = printable(limit.key) if limit.key is not None else f"by {limit.by}" if limit.by else ""
    at_once, per_second = (_number(number) for number in (limit.at_once, limit.per_second))
    first = "" if limit.first_waits_s is None else duration(limit.first_waits_s)
    hosts = "away" if limit.is_unshared else "" if limit.hosts is None else str(limit.hosts)
    return (limit.limit, key, str(limit.running), at_once, per_second, hosts, str(limit.waiting), first)


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:g}"


command = command_of(ShowLimits)
