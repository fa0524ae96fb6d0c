"""The clock of this host and that of a database are apart."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step

APART_S = 5.0


def find(facts: Facts) -> Iterator[Finding]:
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
