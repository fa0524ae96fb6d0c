"""An entry: one consumer's part of the configuration, as the master uses it. Runs in the master."""

from __future__ import annotations

from dataclasses import dataclass, replace

from consumerd.config.common_keys import MASTERS_KEYS
from consumerd.config.shape import ConsumerSettings
from consumerd.master.rules.observed import WantedPool
from consumerd.model.identity import ConsumerName
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.messages import Assignment


@dataclass(frozen=True)
class Entry:
    """assignment: what its processes are given. stop_timeout_s: of this pool."""

    settings: ConsumerSettings
    assignment: Assignment
    state_dir: StateDirectory
    stop_timeout_s: float

    @property
    def name(self) -> ConsumerName:
        return self.settings.full_name

    def with_masters_keys_of(self, other: Entry) -> Entry:
        """This entry, with what concerns the master alone of another: what its processes are given stays its own."""
        theirs = {key: getattr(other.settings.common, key) for key in MASTERS_KEYS}
        settings = self.settings.model_copy(update={"common": self.settings.common.model_copy(update=theirs)})
        return replace(self, settings=settings, stop_timeout_s=other.stop_timeout_s)

    def wanted(self, edition: int, workers: int) -> WantedPool:
        """How its pool should be. workers: perhaps not as many as the entry says."""
        common = self.settings.common
        return WantedPool(
            workers,
            self.stop_timeout_s,
            restarts_finished=common.restart == "always",
            edition=edition,
            max_unavailable=common.max_unavailable or max(1, workers // 10),
            after=frozenset(ConsumerName.parse(name) for name in common.after),
            is_essential=common.essential,
        )
