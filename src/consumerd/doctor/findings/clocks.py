"""The clock of this host and that of a database are apart; or this host's was set."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd import clock, events
from consumerd.doctor.facts import Facts, Finding, Step

APART_S = 5.0
TOLD_FOR_S = 600.0


def find(facts: Facts) -> Iterator[Finding]:
    yield from _apart(facts)
    yield from _stepped(facts)


def _stepped(facts: Facts) -> Iterator[Finding]:
    """For some minutes; set back, until what was due then is due again."""
    steps = [(each.at, float(each.fields["by_s"])) for each in facts.happened if each.name == events.clock_stepped.name]
    told = [(at, by_s) for at, by_s in steps if facts.at - at <= max(TOLD_FOR_S, -by_s)]
    for at, by_s in told[-1:]:
        is_back = by_s < 0
        meaning = "tasks that were due are due later by as much" if is_back else "leases that held have ended at once"
        yield Finding(
            "clock_set",
            "",
            f"The clock of this host was set {'back' if is_back else 'forward'} by {abs(by_s):.0f} s, or it slept.",
            [
                f"seen at {clock.moment(at)}",
                f"where tasks are in a SQLite file, {meaning}; a server has a clock of its own",
            ],
            [
                Step("timedatectl timesync-status", "see who sets it"),
                Step("consumerd status", "see what waits; nothing has to be restarted"),
            ],
            "Do not set it again while workers run, unless it is still wrong.",
        )


def _apart(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        apart_s = pool.now.clock_ahead_s
        if apart_s is None or abs(apart_s) < APART_S:
            continue
        which = "ahead of" if apart_s > 0 else "behind"
        yield Finding(
            "clocks_apart",
            pool.name,
            f"The clock of the database of {pool.name} is {abs(apart_s):.0f} s {which} that of this host.",
            [
                "leases, due times and schedules go by the database's clock, what your code writes by this host's",
                "so tasks begin too early or too late, and ages are wrong by as much",
            ],
            [
                Step("timedatectl timesync-status", "see whether this host's clock is kept right; see the same there"),
                Step("chronyc tracking", "the same, where chrony keeps it"),
                Step("", "have both kept by the same servers of time; nothing has to be restarted"),
            ],
            "Do not set a clock back by hand while workers run: leases and due times would last longer by as much.",
        )
