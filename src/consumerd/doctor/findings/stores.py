"""The parking store is away."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step


def find(facts: Facts) -> Iterator[Finding]:
    told = [(pool.name, flag) for pool in facts.pools() if (flag := pool.flag("store")) is not None]
    if not told:
        return
    names = ", ".join(name for name, _ in told)
    yield Finding(
        "store_unreachable",
        "",
        "The parking store does not take failed tasks, so they stay unfinished, and nothing settles past them.",
        [f"{name}: {flag.error}" for name, flag in told],
        [
            Step("consumerd status", f"see since when; it concerns {names}"),
            Step("consumerd parked list", "it fails for the same reason, and succeeds once the store is back"),
        ],
        "Do not stop the master to get rid of it: what is unfinished would run again, and nothing is lost as it is.",
    )
