"""Other values of live keys for a pool that runs, without a restart. Runs in the master.

The zygote is asked first: it reads the new entry as it would at its start. When it has found nothing wrong, it forks
from that, and the workers are told; else everything goes on as before. A zygote that ends before it has answered is
followed by one of a new edition, which has the new entry anyway.
"""

from __future__ import annotations

from consumerd import events
from consumerd.errors import WireError
from consumerd.master.pools.entry import Entry
from consumerd.master.pools.pool import Pool
from consumerd.wire.messages import Amend


def ask_zygote(pool: Pool, entry: Entry) -> None:
    """Ask the zygote of the established edition, which has loaded and runs, to take an entry over."""
    edition = pool.observed.established
    try:
        pool.tools.mailbox.send(pool.zygotes[edition].channel, Amend(entry.assignment.consumer))
    except WireError as error:
        pool.take_back(f"its configs cannot be sent to its processes: {error}")
    else:
        pool.amendments.setdefault(edition, []).append(entry)


def zygote_answered(pool: Pool, edition: int, failed: str | None, now: float) -> None:
    """The zygote of an edition has answered the oldest that it was asked. failed: why it goes on as before."""
    entry = pool.amendments[edition].pop(0)
    if failed is not None:
        pool.take_back(failed)
        return
    pool.take_over(entry, edition, now)
    pool.tell_workers(Amend(entry.assignment.consumer), edition)
    pool.tools.emit(events.configs_amended(consumer=pool.consumer))


def zygote_ended(pool: Pool, edition: int, now: float) -> None:
    """A zygote has ended without an answer: the newest entry that it was asked to take becomes a new edition's."""
    asked = pool.amendments.pop(edition, [])
    if asked and pool.is_wanted:
        pool.change(asked[-1], now)
