"""`consumerd reload`: read the configuration anew, show what differs, and take it over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec

from consumerd.cli.verb import Target, Verb, command_of
from consumerd.wire.configuration import PoolConfiguration
from consumerd.wire.method import Method, parameter

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls

MEANING = {
    "added": "its workers start",
    "removed": "its workers leave",
    "enabled": "its workers start",
    "disabled": "its workers leave",
    "replaced": "its workers are replaced, the first one on trial",
    "amended": "nobody restarts",
}
TOGETHER = "its workers are replaced, one by one: they divide the keys by their number"
BRINGS_WORKERS = frozenset({"added", "enabled", "replaced"})


class Reloaded(msgspec.Struct, frozen=True):
    """What differs: pools, as `group/name KIND …`, and settings by key. remarks: on what needs a new start.

    together: the pools whose workers are all replaced because their number changes.
    """

    changes: list[str]
    settings: list[str]
    remarks: list[str]
    together: list[str]
    is_applied: bool


class Reload(Verb, frozen=True):
    """Read the configuration anew, show what differs, and take it over: only pools that changed restart.

    A configuration with a mistake changes nothing. A change that does not hold up at a pool's highest slot is taken
    back, and the other slots are not touched: see consumerd status.
    """

    name, result, is_act, timeout_s = "reload", Reloaded, True, 120.0
    dry_run: Annotated[bool, parameter("Only show what differs.")] = False

    async def answer(self, master: Controls, by: str) -> Reloaded:
        reloader = master.reloader
        found = await (reloader.reload(is_dry=True) if self.dry_run else reloader.reload_for("somebody asked for it"))
        return Reloaded(*found, is_applied=not self.dry_run)

    def lines(self, answer: Reloaded) -> Iterator[str]:
        for change in answer.changes:
            name, kind = change.split()[:2]
            yield f"{change}: {TOGETHER if name in answer.together else MEANING[kind]}"
        keys = {key for change in answer.changes for key in change.rpartition("(")[2].rstrip(")").split(", ")}
        for setting in answer.settings:
            yield f"{setting}: taken over" + ("" if setting in keys else ", nobody restarts")
        yield from answer.remarks
        if not (answer.changes or answer.settings or answer.remarks):
            yield "nothing differs"
        elif self.dry_run:
            yield "nothing was changed: this was a dry run; consumerd check looks at the code and its own keys too"

    def awaited(self, answer: Reloaded) -> list[str]:
        changes = [] if self.dry_run else [change.split() for change in answer.changes]
        return [name for name, kind, *_ in changes if kind in BRINGS_WORKERS]


class ShowConfiguration(Method, frozen=True):
    """The entries of pools as they are in force, without passwords, and what reloads have changed of them."""

    name, result = "configuration", list[PoolConfiguration]
    target: Target

    async def answer(self, master: Controls, by: str) -> list[PoolConfiguration]:
        return master.configuration.shown(self.target)


command = command_of(Reload)
