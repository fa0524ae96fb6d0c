"""The configuration in force, and what operators have set by hand, applied to the pools. Runs in the master."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from consumerd import clock, events
from consumerd.config.diff import TAKEN_OVER, Change, ChangeKind, changed_settings, diff
from consumerd.config.problems import did_you_mean
from consumerd.config.shape import ConsumerSettings, Document, Settings
from consumerd.errors import ConsumerdError, UsageError
from consumerd.events.facts import Fact
from consumerd.master.control.limits import Limits
from consumerd.master.control.overrides import Overrides, Paused, Pin
from consumerd.master.control.past import PastChanges
from consumerd.master.pools import live_keys
from consumerd.master.pools.entry import Entry
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.pools import Pools
from consumerd.model.identity import ConsumerName
from consumerd.wire.configuration import PoolConfiguration
from consumerd.wire.messages import Pause

MakeEntry = Callable[[Document, ConsumerSettings], Entry]
"""Makes the entry of a consumer of a document, for its pool."""


class Differences(NamedTuple):
    """What a reload changes: pools, as `group/name KIND …`, and settings by key. remarks: on what needs a new start.

    together: the pools whose workers are all replaced at the same time.
    """

    changes: list[str]
    settings: list[str]
    remarks: list[str]
    together: list[str]


class Configuration:
    """The document in force, pinned numbers and paused pools; `wake` makes the supervisor take a turn.

    A wrong target or state is a UsageError with one sentence, and nothing has been changed.
    """

    def __init__(
        self,
        pools: Pools,
        emit: Callable[[Fact], None],
        document: Document,
        entry: MakeEntry,
        *,
        overrides: Overrides,
        overrides_file: Path,
        limits: Limits,
        wake: Callable[[], None],
    ) -> None:
        """document: what runs now; overrides: what was set by hand before, and is kept in `overrides_file`."""
        self._pools = pools
        self._emit = emit
        self._document = document
        self._make_entry = entry
        self._overrides = overrides
        self._overrides_file = overrides_file
        self._limits = limits
        self._wake = wake
        self._past = PastChanges()
        self._restore()

    @property
    def settings(self) -> Settings:
        """What belongs to no consumer, as it was read last."""
        return self._document.settings

    @property
    def disabled(self) -> tuple[ConsumerName, ...]:
        """The consumers whose pools the configuration does not want."""
        return tuple(each.full_name for each in self._disabled())

    @property
    def paused(self) -> Mapping[str, Paused]:
        """Since when and by whom pools are paused, by `group/name`."""
        return self._overrides.paused

    def pin(self, pools: Collection[Pool], workers: int | None) -> None:
        """Pin the number of workers of pools, or undo that (None). ConsumerdError where it cannot be written."""
        now, meant = clock.monotonic(), {pool.consumer for pool in pools}
        pins = {name: pin for name, pin in self._overrides.pins.items() if name not in meant}
        if workers is not None:
            pins |= {pool.consumer: Pin(workers, self._configured(pool)) for pool in pools}
        self._save(Overrides(pins, self._overrides.paused))
        for pool in pools:
            pool.scale(workers, now)

    def pause(self, pools: Collection[Pool], by: str | None) -> None:
        """Let the workers of pools fetch nothing more. by: who asks; None: they may again. ConsumerdError as `pin`."""
        before, meant = self._overrides.paused, {pool.consumer for pool in pools}
        paused = {name: since for name, since in before.items() if name not in meant}
        if by is not None:
            paused = {**dict.fromkeys(meant, Paused(clock.wall(), by)), **before}
        self._save(Overrides(self._overrides.pins, paused))
        for pool in pools:
            pool.is_paused = pool.consumer in paused
            pool.tell_workers(Pause(pool.is_held))

    def renew(self, pool: Pool) -> None:
        """Give a pool a new edition with the same entry."""
        pool.change(self._entry(pool), clock.monotonic())

    def reload(self, document: Document, *, is_dry: bool) -> Differences:
        """Take over a configuration that was read and is valid. is_dry: only say what that would change."""
        self._check_running()
        changes = diff(self._running(), document, self._live_keys)
        changed = changed_settings(self._document, document)
        kept = [key for key in changed if key not in TAKEN_OVER]
        if not is_dry:
            self._apply(_with_settings_of(document, self._document, kept), changes)
        remarks = [f"{key} is read when the master starts: run it again to change that" for key in kept]
        settings = [key for key in changed if key in TAKEN_OVER]
        return Differences(list(map(str, changes)), settings, remarks, self._together(changes))

    def shown(self, target: str) -> list[PoolConfiguration]:
        """The entries in force of the pools that TARGET means, and what reloads have changed of them."""
        return [self._past.of(pool.entry.settings) for pool in self.matching(target)]

    def matching(self, target: str) -> list[Pool]:
        """The pools that TARGET means; UsageError where there is none."""
        pools = [pool for pool in self._pools if pool.name.matches(target)]
        if not pools:
            if any(name.matches(target) for name in self.disabled):
                raise UsageError(f"{target} is disabled: set enabled to true in the configuration, and reload")
            known = sorted({pool.consumer for pool in self._pools} | {pool.name.group for pool in self._pools})
            advice = did_you_mean(target, known) or f": TARGET is a group or group/name, one of {', '.join(known)}"
            raise UsageError(f"there is no pool {target!r}{advice}")
        return pools

    def changeable(self, target: str) -> list[Pool]:
        """The pools that TARGET means and that are to run."""
        self._check_running()
        pools = [pool for pool in self.matching(target) if pool.is_wanted]
        if not pools:
            raise UsageError(f"the workers of {target} leave: ask again when they are gone")
        return pools

    # Within

    def _together(self, changes: tuple[Change, ...]) -> list[str]:
        """The pools whose workers divide the keys by their number, where that changes: all of them start anew."""
        split = {pool.name for pool in self._pools if pool.traits.get("splits_keys")}
        amended = [change for change in changes if change.kind is ChangeKind.AMENDED and "workers" in change.keys]
        return [str(change.consumer) for change in amended if change.consumer in split]

    def _live_keys(self, name: ConsumerName) -> frozenset[str]:
        pool = self._pools.get(name)
        return frozenset() if pool is None else pool.live_keys

    def _entry(self, pool: Pool) -> Entry:
        """As the configuration has it now, taken back or not."""
        found = next((consumer for consumer in self._document.consumers if consumer.full_name == pool.name), None)
        return pool.newest_entry if found is None else self._make_entry(self._document, found)

    def _running(self) -> Document:
        """The document as it is in force: without what was taken back, which a reload tries again."""
        return self._document.model_copy(update={"consumers": (*self._pools.settings(), *self._disabled())})

    def _disabled(self) -> tuple[ConsumerSettings, ...]:
        return tuple(consumer for consumer in self._document.consumers if not consumer.common.enabled)

    def _apply(self, document: Document, changes: tuple[Change, ...]) -> None:
        now = clock.monotonic()
        before = {str(each.full_name): each for each in self._running().consumers}
        numbers = {str(change.consumer): _number(change.after) for change in changes if change.after is not None}
        self._save(self._overrides_with(numbers))
        self._limits.define(document.settings)
        for change in changes:
            self._apply_change(document, change, now)
        changed = {change.consumer for change in changes}
        for pool in self._pools:
            if pool.name not in changed:
                pool.withdraw_rejected()
        self._document = document
        self._past.note(changes, before)
        self._emit(events.configuration_reloaded(config=document.origin, changes=[*map(str, changes)]))
        self._wake()

    def _apply_change(self, document: Document, change: Change, now: float) -> None:
        pool, (pin, is_paused) = self._pools.get(change.consumer), self._set_by_hand(change.consumer)
        entry = None
        if change.after is not None and change.after.common.enabled:
            entry = self._make_entry(document, change.after)
        if pool is not None:  # a disabled one has none
            pool.set_pin(pin)
            pool.is_paused = is_paused
        match change.kind:
            case ChangeKind.REMOVED | ChangeKind.DISABLED if pool is not None:
                pool.remove(now)
            case ChangeKind.ADDED | ChangeKind.ENABLED if entry is not None:
                self._pools.add(entry, now, pin=pin, is_paused=is_paused)
            case ChangeKind.REPLACED if pool is not None and entry is not None:
                pool.change(entry, now)
            case ChangeKind.AMENDED if pool is not None and entry is not None:
                if pool.live_keys.isdisjoint(change.keys):
                    pool.amend(entry, now)
                else:  # its zygote has to find them good first
                    live_keys.ask_zygote(pool, entry)

    def _overrides_with(self, configured: Mapping[str, int | str]) -> Overrides:
        """Without the pins of pools that the configuration gives another number of workers than when they were set."""
        pins = self._overrides.pins.items()
        kept = {name: pin for name, pin in pins if configured.get(name, pin.configured) == pin.configured}
        return Overrides(kept, self._overrides.paused)

    def _set_by_hand(self, name: ConsumerName) -> tuple[int | None, bool]:
        """What an operator has set for a pool, also under an earlier master, or before it was removed: the number of
        workers that is pinned, and whether it is paused.
        """
        pin = self._overrides.pins.get(str(name))
        return None if pin is None else pin.workers, str(name) in self._overrides.paused

    def _restore(self) -> None:
        """What was set by hand under an earlier master. A pin that the configuration has undone since is forgotten."""
        now = clock.monotonic()
        self._save(self._overrides_with({pool.consumer: self._configured(pool) for pool in self._pools}))
        for pool in self._pools:
            workers, pool.is_paused = self._set_by_hand(pool.name)
            if workers is not None:
                pool.scale(workers, now)

    def _configured(self, pool: Pool) -> int | str:
        return _number(self._entry(pool).settings)

    def _check_running(self) -> None:
        if self._pools.is_stopping:
            raise ConsumerdError("the master is stopping, so nothing is changed any more")

    def keep_overrides(self) -> None:
        """Write what is set by hand anew, where the state directory is made anew. OSError."""
        self._overrides.save(self._overrides_file)

    def _save(self, overrides: Overrides) -> None:
        if overrides == self._overrides:
            return
        try:
            overrides.save(self._overrides_file)
        except OSError as error:
            raise ConsumerdError(
                f"{self._overrides_file} cannot be written ({error.strerror}), so nothing was changed"
            ) from error
        self._overrides = overrides


def _with_settings_of(document: Document, before: Document, keys: list[str]) -> Document:
    """The document with some of the settings as they were: what the master has read at its start holds for all."""
    kept = {key: getattr(before.settings, key) for key in keys}
    return document.model_copy(update={"settings": document.settings.model_copy(update=kept)})


def _number(consumer: ConsumerSettings) -> int | str:
    """The number of workers as the configuration has it, bounds as text."""
    workers = consumer.common.workers
    return workers if isinstance(workers, int) else workers.model_dump_json()
