"""Tasks wait long for a limit."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step

LONG_S = 60.0


def find(facts: Facts) -> Iterator[Finding]:
    for limit in facts.now.limits:
        which = limit.limit if limit.key is None else f"{limit.limit} of {limit.key}"
        if limit.is_unshared and limit.key is None:
            yield Finding(
                "limit_unshared",
                "",
                f"Nothing of the limit {which} starts: the parking store, by which hosts share it, does not answer.",
                [f"{limit.waiting} tasks wait"],
                [Step("consumerd limits", "it goes on by itself once the store answers")],
            )
        elif (
            limit.first_waits_s is not None and limit.first_waits_s > LONG_S and (limit.key is not None or not limit.by)
        ):
            allowed = [f"at once {limit.at_once}"] if limit.at_once is not None else []
            allowed += [f"{limit.per_second:g} a second"] if limit.per_second is not None else []
            yield Finding(
                "limit_starves",
                "",
                f"Tasks wait {limit.first_waits_s:.0f} s for the limit {which}.",
                [f"{limit.waiting} wait, {limit.running} run", f"it allows {' and '.join(allowed) or 'nothing'}"],
                [
                    Step("consumerd limits", "see all keys, and which waits for how long"),
                    Step("consumerd reload", "once the configuration has a wider limit; nobody is restarted"),
                ],
                "Do not add workers: the limit is one for all of them.",
            )
