"""Which pools run nothing now, so that a retry asked for there would only wait, and what to do about each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from consumerd.master.pools.pools import Pools
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import SlotState


def unrun(pools: Pools, disabled: Iterable[ConsumerName]) -> Mapping[str, str]:
    """By the consumer's name, why none of its tasks is run now, in a sentence that says what to do."""
    found = {str(name): why for name in pools if (why := _why(pools, name)) is not None}
    return found | {
        str(name): f"{name} is disabled: set enabled to true in the configuration, and reload" for name in disabled
    }


def _why(pools: Pools, name: ConsumerName) -> str | None:
    pool = pools[name]
    if not pools.is_wanted(name):
        return f"{name} is stopping"
    if pools.is_paused(name):
        return f"{name} is paused: ask again after consumerd resume {name}"
    if pool.is_lost:
        return f"{name} has failed: mend what consumerd status says of it, and ask again after consumerd restart {name}"
    slots = [pool.slots[number] for number in range(pools.workers_wanted(name))]
    if all(slot.state is SlotState.FINISHED for slot in slots):
        return f"{name} has finished, and runs nothing: ask again after consumerd restart {name}"
    return None
