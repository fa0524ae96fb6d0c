"""Amending: other values of live keys for a pool that runs, and nobody restarts. Runs in the master.

The zygote is asked first: it reads the new entry as it would at its start. When it has found nothing wrong, it forks
from that, and the workers are told; else everything goes on as before. A zygote that ends before it has answered is
followed by one of a new edition, which has the new entry anyway.
"""

from __future__ import annotations

from consumerd import events
from consumerd.errors import WireError
from consumerd.master.pools.acts import Means
from consumerd.master.pools.entry import Entry
from consumerd.model.identity import ConsumerName
from consumerd.wire.messages import Amend


def begin(means: Means, entry: Entry) -> None:
    """Ask the zygote of the established edition, which has loaded and runs."""
    pools, edition = means.pools, means.pools[entry.name].established
    try:
        means.post.send(pools.processes[entry.name].zygotes[edition].channel, Amend(entry.seated.consumer))
    except WireError as error:
        _take_back(means, entry.name, f"its configs cannot be sent to its processes: {error}")
    else:
        pools.amendments.setdefault((entry.name, edition), []).append(entry)


def end(means: Means, name: ConsumerName, edition: int, failed: str | None, now: float) -> None:
    """The zygote of an edition has answered the oldest that it was asked. failed: why it goes on as before."""
    pools, entry = means.pools, means.pools.amendments[name, edition].pop(0)
    if failed is not None:
        _take_back(means, name, failed)
        return
    pools.take_over(entry, edition, now)
    for slot, worker in pools.processes[name].workers.items():
        if pools[name].slots[slot].edition == edition and not worker.has_ended():
            means.post.send(worker.seating.channel, Amend(entry.seated.consumer))
    means.emit(events.configs_amended(consumer=str(name)))


def give_up(means: Means, name: ConsumerName, edition: int, now: float) -> None:
    """A zygote has ended without an answer: the newest entry that it was asked to take becomes a new edition's."""
    asked = means.pools.amendments.pop((name, edition), [])
    if asked and means.pools.is_wanted(name):
        means.pools.change(asked[-1], now)


def _take_back(means: Means, name: ConsumerName, reason: str) -> None:
    means.pools.note_error(name, events.change_taken_back.name, {"reason": reason})
    means.emit(events.change_taken_back(consumer=str(name), reason=reason))
