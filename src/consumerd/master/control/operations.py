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
from consumerd.master.control.overrides import Overrides, Paused, Pin
from consumerd.master.control.running_task import find_running_task
from consumerd.master.duties.autoscaler import shards_of
from consumerd.master.duties.watchdog import DIAGNOSE_S, Watchdog
from consumerd.master.pools import amending
from consumerd.master.pools.acts import Means
from consumerd.master.pools.entry import Entry
from consumerd.master.rules.observed import Condemned
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import MOST_WORKERS, OCCUPIED
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
        means: Means,
        configuration: Configuration,
        document: Document,
        *,
        overrides: Overrides,
        watchdog: Watchdog,
        wake: Callable[[], None],
    ) -> None:
        """document: what runs now; overrides: what was set by hand before."""
        self._means = means
        self._pools = means.pools
        self._configuration = configuration
        self._document = document
        self._overrides = overrides
        self._watchdog = watchdog
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
        now, names = clock.monotonic(), self._changeable(target)
        pins = {name: pin for name, pin in self._overrides.pins.items() if name not in map(str, names)}
        if workers is not None:
            pins |= {str(name): Pin(workers, self._configured(name)) for name in names}
        self._save(Overrides(pins, self._overrides.paused))
        for name in names:
            self._pools.scale(name, workers, now)
            wanted, is_pinned = self._pools.workers_wanted(name), workers is not None
            self._means.emit(events.pool_scaled(consumer=str(name), workers=wanted, is_pinned=is_pinned))
        self._wake()
        return {"pools": [self._scaled(name) for name in names]}

    def pause(self, target: str, *, is_paused: bool, by: str = "") -> Plain:
        """Let the workers fetch nothing more, or again. What they have in hand they finish. by: the user who asks."""
        names = self._changeable(target)
        meant = set(map(str, names))
        others = {name: paused for name, paused in self._overrides.paused.items() if name not in meant}
        again = {name: self._overrides.paused.get(name, Paused(clock.wall(), by)) for name in meant}
        self._save(Overrides(self._overrides.pins, others | again if is_paused else others))
        for name in names:
            self._pools.pause(name, is_paused=is_paused)
            self._tell_workers(name, Pause(is_paused))
            self._means.emit((events.pool_paused if is_paused else events.pool_resumed)(consumer=str(name)))
        return {"pools": [str(name) for name in names]}

    def restart(self, target: str) -> Plain:
        """A new edition with the same entry: new processes, of the code as it is now, slot by slot."""
        now, names = clock.monotonic(), self._changeable(target)
        for name in names:
            self._pools.change(self._entry(name), now)
            self._means.emit(events.pool_restarting(consumer=str(name)))
        self._wake()
        return {"pools": [str(name) for name in names]}

    def reload(self, document: Document, *, is_dry: bool) -> Plain:
        """Take over a configuration that was read and is valid. is_dry: only say what that would change."""
        self._check_running()
        changes = diff(self._running(), document, self._pools.live_keys)
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
        if does_park and self._pools.traits(found.pool).get("gives_away", False):
            sentence = "its source has given the task away, so that it cannot be parked: cancel it without --park"
            raise UsageError(f"{found}: {sentence}")
        reason = f"cancelled by an operator, on offset {found.offset} of shard {found.shard}"
        condemned = Condemned(reason, now, now + DIAGNOSE_S, found.shard, found.offset, does_park=does_park)
        self._watchdog.condemn(found.pool, found.slot, condemned, now)
        fact = events.task_cancelled(
            consumer=str(found.pool), worker_id=found.slot, shard=found.shard, offset=found.offset
        )
        self._means.emit(fact)
        self._wake()
        return {"task": str(found), "consumer": str(found.pool), **found.fields()}

    def matching(self, target: str) -> list[ConsumerName]:
        """The pools that TARGET means; UsageError where there is none."""
        names = [name for name in self._pools if name.matches(target)]
        if not names:
            if any(name.matches(target) for name in self.disabled):
                raise UsageError(f"{target} is disabled: set enabled to true in the configuration, and reload")
            known = sorted({str(name) for name in self._pools} | {name.group for name in self._pools})
            advice = did_you_mean(target, known) or f": TARGET is a group or group/name, one of {', '.join(known)}"
            raise UsageError(f"there is no pool {target!r}{advice}")
        return names

    # Within

    def _scaled(self, name: ConsumerName) -> Plain:
        """helping: how many workers its source has something to do for, where that is fewer."""
        workers, shards = self._pools.workers_wanted(name), shards_of(self._pools, name)
        return {"name": str(name), "workers": workers, "helping": shards if shards and shards < workers else None}

    def _entry(self, name: ConsumerName) -> Entry:
        """As the configuration has it now, taken back or not."""
        found = next((consumer for consumer in self._document.consumers if consumer.full_name == name), None)
        newest = self._pools.newest_entry(name)
        return newest if found is None else self._configuration.entry(self._document, found)

    def _running(self) -> Document:
        """The document as it is in force: without what was taken back, which a reload tries again."""
        return self._document.model_copy(update={"consumers": (*self._pools.settings(), *self._disabled())})

    def _disabled(self) -> tuple[ConsumerSettings, ...]:
        return tuple(consumer for consumer in self._document.consumers if not consumer.common.enabled)

    def _apply(self, document: Document, changes: tuple[Change, ...]) -> None:
        now = clock.monotonic()
        self._save(self._overrides_after(changes))
        for change in changes:
            self._set_by_hand(change.consumer, self._overrides)
            match change.kind, change.after:
                case ((ChangeKind.REMOVED | ChangeKind.DISABLED), _):
                    if change.consumer in self._pools:  # a disabled one has none
                        self._pools.remove(change.consumer, now)
                case ((ChangeKind.ADDED | ChangeKind.ENABLED), ConsumerSettings() as after):
                    if after.common.enabled:
                        self._pools.add(self._configuration.entry(document, after), now)
                case ChangeKind.REPLACED, ConsumerSettings() as after:
                    self._pools.change(self._configuration.entry(document, after), now)
                case ChangeKind.AMENDED, ConsumerSettings() as after:
                    self._amend(self._configuration.entry(document, after), change, now)
        changed = {change.consumer for change in changes}
        for name in self._pools:
            if name not in changed:
                self._pools.withdraw_rejected(name)
        self._document = document
        self._means.emit(events.configuration_reloaded(config=document.origin, changes=[*map(str, changes)]))
        self._wake()

    def _amend(self, entry: Entry, change: Change, now: float) -> None:
        """Where live keys are among those that differ, its zygote has to find them good first."""
        if self._pools.live_keys(entry.name).isdisjoint(change.keys):
            self._pools.amend(entry, now)
        else:
            amending.begin(self._means, entry)

    def _overrides_after(self, changes: tuple[Change, ...]) -> Overrides:
        """A configuration that has another number of workers undoes what an operator has pinned."""
        numbers = {str(change.consumer): _number(change.after) for change in changes if change.after is not None}
        pins = {
            name: pin
            for name, pin in self._overrides.pins.items()
            if numbers.get(name, pin.configured) == pin.configured
        }
        return Overrides(pins, self._overrides.paused)

    def _set_by_hand(self, name: ConsumerName, overrides: Overrides) -> None:
        """What an operator has set for a pool, also under an earlier master, or before it was removed."""
        pin = overrides.pins.get(str(name))
        self._pools.pin(name, None if pin is None else pin.workers)
        self._pools.pause(name, is_paused=str(name) in overrides.paused)

    def _restore(self) -> None:
        """What was set by hand under an earlier master. A pin that the configuration has undone since is forgotten."""
        now = clock.monotonic()
        undone = {
            str(name)
            for name in self._pools
            if (pin := self._overrides.pins.get(str(name))) is not None and pin.configured != self._configured(name)
        }
        if undone:
            pins = {name: pin for name, pin in self._overrides.pins.items() if name not in undone}
            self._save(Overrides(pins, self._overrides.paused))
        for name in self._pools:
            if (pin := self._overrides.pins.get(str(name))) is not None:
                self._pools.scale(name, pin.workers, now)
            self._pools.pause(name, is_paused=str(name) in self._overrides.paused)

    def _configured(self, name: ConsumerName) -> int | str:
        return _number(self._entry(name).settings)

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

    def _changeable(self, target: str) -> list[ConsumerName]:
        """The pools that TARGET means and that are to run."""
        self._check_running()
        names = [name for name in self.matching(target) if self._pools.is_wanted(name)]
        if not names:
            raise UsageError(f"the workers of {target} leave: ask again when they are gone")
        return names

    def _tell_workers(self, name: ConsumerName, message: Pause) -> None:
        for slot, worker in self._pools.processes[name].workers.items():
            if self._pools[name].slots[slot].state in OCCUPIED:
                self._means.post.send(worker.seating.channel, message)


def _with_settings_of(document: Document, before: Document, keys: tuple[str, ...]) -> Document:
    """The document with some of the settings as they were: what the master has read at its start holds for all."""
    kept = {key: getattr(before.settings, key) for key in keys}
    return document.model_copy(update={"settings": document.settings.model_copy(update=kept)})


def _number(consumer: ConsumerSettings) -> int | str:
    """The number of workers as the configuration has it, bounds as text."""
    workers = consumer.common.workers
    return workers if isinstance(workers, int) else workers.model_dump_json()
