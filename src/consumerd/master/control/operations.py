"""What operators do to pools: scale, pause, resume, restart, reload, cancel. Runs in the master.

Each returns plain values for the answer. A wrong target, number or state is a UsageError with one sentence, and nothing
has been changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from consumerd import clock, events
from consumerd.config.diff import Change, ChangeKind, diff, needs_new_master, taken_over
from consumerd.config.problems import did_you_mean
from consumerd.config.shape import ConsumerSettings, Document, Settings
from consumerd.errors import ConsumerdError, UsageError
from consumerd.events.facts import Fact
from consumerd.master.control.overrides import Overrides, Paused, Pin
from consumerd.master.control.running_task import find_running_task
from consumerd.master.duties.autoscaler import shards_of
from consumerd.master.duties.watchdog import DIAGNOSE_S, condemn
from consumerd.master.pools import live_keys
from consumerd.master.pools.entry import Entry
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.pools import Pools
from consumerd.master.rules.observed import Condemned
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import MOST_WORKERS
from consumerd.wire.messages import Pause

Plain = dict[str, object]


@dataclass(frozen=True)
class Configuration:
    """entry: makes a consumer's, for its pool. overrides: the file of what was set by hand."""

    entry: Callable[[Document, ConsumerSettings], Entry]
    overrides: Path


class Operations:
    """Acts on the pools; `wake` makes the supervisor take a turn."""

    def __init__(
        self,
        pools: Pools,
        emit: Callable[[Fact], None],
        configuration: Configuration,
        document: Document,
        *,
        overrides: Overrides,
        wake: Callable[[], None],
    ) -> None:
        """document: what runs now; overrides: what was set by hand before."""
        self._pools = pools
        self._emit = emit
        self._configuration = configuration
        self._document = document
        self._overrides = overrides
        self._wake = wake
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

    # The verbs

    def scale(self, target: str, workers: int | None) -> Plain:
        """Pin the number of workers of every pool that `target` means, or undo that (None)."""
        if workers is not None and not 1 <= workers <= MOST_WORKERS:
            raise UsageError(f"the number of workers must be 1 to {MOST_WORKERS}, and is {workers}: pause stops a pool")
        now, pools = clock.monotonic(), self._changeable(target)
        meant = {pool.consumer for pool in pools}
        pins = {name: pin for name, pin in self._overrides.pins.items() if name not in meant}
        if workers is not None:
            pins |= {pool.consumer: Pin(workers, self._configured(pool)) for pool in pools}
        self._save(Overrides(pins, self._overrides.paused))
        for pool in pools:
            pool.scale(workers, now)
            wanted, is_pinned = pool.wanted.workers, workers is not None
            self._emit(events.pool_scaled(consumer=pool.consumer, workers=wanted, is_pinned=is_pinned))
        self._wake()
        return {"pools": [self._scaled(pool) for pool in pools]}

    def pause(self, target: str, *, is_paused: bool, by: str = "") -> Plain:
        """Let the workers fetch nothing more, or again. What they have in hand they finish. by: the user who asks."""
        pools = self._changeable(target)
        meant = {pool.consumer for pool in pools}
        others = {name: paused for name, paused in self._overrides.paused.items() if name not in meant}
        again = {name: self._overrides.paused.get(name, Paused(clock.wall(), by)) for name in meant}
        self._save(Overrides(self._overrides.pins, others | again if is_paused else others))
        for pool in pools:
            pool.is_paused = is_paused
            pool.tell_workers(Pause(is_paused))
            self._emit((events.pool_paused if is_paused else events.pool_resumed)(consumer=pool.consumer))
        return {"pools": [pool.consumer for pool in pools]}

    def restart(self, target: str) -> Plain:
        """A new edition with the same entry: new processes, of the code as it is now, slot by slot."""
        now, pools = clock.monotonic(), self._changeable(target)
        for pool in pools:
            pool.change(self._entry(pool), now)
            self._emit(events.pool_restarting(consumer=pool.consumer))
        self._wake()
        return {"pools": [pool.consumer for pool in pools]}

    def reload(self, document: Document, *, is_dry: bool) -> Plain:
        """Take over a configuration that was read and is valid. is_dry: only say what that would change."""
        self._check_running()
        changes = diff(self._running(), document, self._live_keys)
        kept, settings = needs_new_master(self._document, document), taken_over(self._document, document)
        if not is_dry:
            self._apply(_with_settings_of(document, self._document, kept), changes)
        remarks = [f"{key} is read when the master starts: run it again to change that" for key in kept]
        found = [str(change) for change in changes]
        return {"changes": found, "settings": list(settings), "remarks": remarks, "is_applied": not is_dry}

    def cancel(self, task: str, *, does_park: bool = False) -> Plain:
        """End the attempt that a worker runs, by replacing the worker. task: see `master.control.running_task`.

        does_park: have the next worker that meets the task park it as dead.
        """
        now, found = clock.monotonic(), find_running_task(self._pools, task)
        pool = self._pools[found.pool]
        if does_park and pool.traits.get("gives_away", False):
            sentence = "its source has given the task away, so that it cannot be parked: cancel it without --park"
            raise UsageError(f"{found}: {sentence}")
        reason = f"cancelled by an operator, on offset {found.offset} of shard {found.shard}"
        condemned = Condemned(reason, now, now + DIAGNOSE_S, found.shard, found.offset, does_park=does_park)
        condemn(pool, found.slot, condemned, now)
        fact = events.task_cancelled(
            consumer=pool.consumer, worker_id=found.slot, shard=found.shard, offset=found.offset
        )
        self._emit(fact)
        self._wake()
        return {"task": str(found), "consumer": str(found.pool), **found.fields()}

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

    # Within

    def _scaled(self, pool: Pool) -> Plain:
        """helping: how many workers its source has something to do for, where that is fewer."""
        workers, shards = pool.wanted.workers, shards_of(pool)
        helping = shards if shards and shards < workers else None
        return {"name": pool.consumer, "workers": workers, "helping": helping}

    def _live_keys(self, name: ConsumerName) -> frozenset[str]:
        return self._pools[name].live_keys if name in self._pools else frozenset()

    def _entry(self, pool: Pool) -> Entry:
        """As the configuration has it now, taken back or not."""
        found = next((consumer for consumer in self._document.consumers if consumer.full_name == pool.name), None)
        return pool.newest_entry if found is None else self._configuration.entry(self._document, found)

    def _running(self) -> Document:
        """The document as it is in force: without what was taken back, which a reload tries again."""
        return self._document.model_copy(update={"consumers": (*self._pools.settings(), *self._disabled())})

    def _disabled(self) -> tuple[ConsumerSettings, ...]:
        return tuple(consumer for consumer in self._document.consumers if not consumer.common.enabled)

    def _apply(self, document: Document, changes: tuple[Change, ...]) -> None:
        now = clock.monotonic()
        self._save(self._overrides_after(changes))
        for change in changes:
            self._apply_change(document, change, now)
        changed = {change.consumer for change in changes}
        for pool in self._pools:
            if pool.name not in changed:
                pool.withdraw_rejected()
        self._document = document
        self._emit(events.configuration_reloaded(config=document.origin, changes=[*map(str, changes)]))
        self._wake()

    def _apply_change(self, document: Document, change: Change, now: float) -> None:
        pool, (pin, is_paused) = self._pools.get(change.consumer), self._set_by_hand(change.consumer)
        entry = None
        if change.after is not None and change.after.common.enabled:
            entry = self._configuration.entry(document, change.after)
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
                self._amend(pool, entry, change, now)

    def _amend(self, pool: Pool, entry: Entry, change: Change, now: float) -> None:
        """Where live keys are among those that differ, its zygote has to find them good first."""
        if pool.live_keys.isdisjoint(change.keys):
            pool.amend(entry, now)
        else:
            live_keys.ask_zygote(pool, entry)

    def _overrides_after(self, changes: tuple[Change, ...]) -> Overrides:
        """A configuration that has another number of workers undoes what an operator has pinned."""
        numbers = {str(change.consumer): _number(change.after) for change in changes if change.after is not None}
        pins = {
            name: pin
            for name, pin in self._overrides.pins.items()
            if numbers.get(name, pin.configured) == pin.configured
        }
        return Overrides(pins, self._overrides.paused)

    def _set_by_hand(self, name: ConsumerName) -> tuple[int | None, bool]:
        """What an operator has set for a pool, also under an earlier master, or before it was removed: the number of
        workers that is pinned, and whether it is paused.
        """
        pin = self._overrides.pins.get(str(name))
        return None if pin is None else pin.workers, str(name) in self._overrides.paused

    def _restore(self) -> None:
        """What was set by hand under an earlier master. A pin that the configuration has undone since is forgotten."""
        now = clock.monotonic()
        undone = {
            name
            for pool in self._pools
            if (pin := self._overrides.pins.get(name := pool.consumer)) is not None
            and pin.configured != self._configured(pool)
        }
        if undone:
            pins = {name: pin for name, pin in self._overrides.pins.items() if name not in undone}
            self._save(Overrides(pins, self._overrides.paused))
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
        self._overrides.save(self._configuration.overrides)

    def _save(self, overrides: Overrides) -> None:
        if overrides == self._overrides:
            return
        path = self._configuration.overrides
        try:
            overrides.save(path)
        except OSError as error:
            raise ConsumerdError(f"{path} cannot be written ({error.strerror}), so nothing was changed") from error
        self._overrides = overrides

    def _changeable(self, target: str) -> list[Pool]:
        """The pools that TARGET means and that are to run."""
        self._check_running()
        pools = [pool for pool in self.matching(target) if pool.is_wanted]
        if not pools:
            raise UsageError(f"the workers of {target} leave: ask again when they are gone")
        return pools


def _with_settings_of(document: Document, before: Document, keys: tuple[str, ...]) -> Document:
    """The document with some of the settings as they were: what the master has read at its start holds for all."""
    kept = {key: getattr(before.settings, key) for key in keys}
    return document.model_copy(update={"settings": document.settings.model_copy(update=kept)})


def _number(consumer: ConsumerSettings) -> int | str:
    """The number of workers as the configuration has it, bounds as text."""
    workers = consumer.common.workers
    return workers if isinstance(workers, int) else workers.model_dump_json()
