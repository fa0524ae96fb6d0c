"""Which pools run nothing now, so that a retry asked for there would only wait, and what to do about each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from consumerd.master.pools.pool import Pool
from consumerd.master.pools.pools import Pools
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import SlotState


def unrun(pools: Pools, disabled: Iterable[ConsumerName]) -> Mapping[str, str]:
    """By the consumer's name, why none of its tasks is run now, in a sentence that says what to do."""
    found = {pool.consumer: why for pool in pools if (why := _why(pool)) is not None}
    return found | {
        str(name): f"{name} is disabled: set enabled to true in the configuration, and reload" for name in disabled
    }


def _why(pool: Pool) -> str | None:
    name, observed = pool.name, pool.observed
    if not pool.is_wanted:
        return f"{name} is stopping"
    if pool.is_paused:
        return f"{name} is paused: ask again after consumerd resume {name}"
    if observed.is_lost:
        return f"{name} has failed: mend what consumerd status says of it, and ask again after consumerd restart {name}"
    slots = [observed.slots[number] for number in range(pool.wanted.workers)]
    if all(slot.state is SlotState.FINISHED for slot in slots):
        return f"{name} has finished, and runs nothing: ask again after consumerd restart {name}"
    return None
