"""Tasks wait long for a limit."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step
from consumerd.wire.status import LimitStatus

LONG_S = 60.0


def find(facts: Facts) -> Iterator[Finding]:
    with_late_keys = {limit.limit for limit in facts.now.limits if limit.key is not None and _waits_s(limit) > LONG_S}
    for limit in facts.now.limits:
        is_said_of_keys = limit.key is None and limit.limit in with_late_keys  # else who waits so long has no key
        if limit.is_unshared and limit.key is None:
            yield Finding(
                "limit_unshared",
                "",
                f"Nothing of the limit {limit.limit} starts: the store by which hosts share it does not answer.",
                [f"{limit.waiting} tasks wait"],
                [Step("consumerd limits", "it goes on by itself once the store answers")],
            )
        elif limit.placeless and _waits_s(limit) > LONG_S:
            yield _full(limit, _waits_s(limit))
        elif _waits_s(limit) > LONG_S and not is_said_of_keys:
            yield _starves(facts, limit, _waits_s(limit))


def _waits_s(limit: LimitStatus) -> float:
    return limit.first_waits_s or 0.0


def _full(limit: LimitStatus, waits_s: float) -> Finding:
    return Finding(
        "limits_full",
        "",
        f"Tasks wait {waits_s:.0f} s for the limit {limit.limit}: too many keys are in use at once.",
        [
            f"{limit.placeless} wait for keys that find no place among some four thousand, of all limits together",
            f"{limit.running} tasks run, and {limit.waiting} wait, of all its keys",
        ],
        [
            Step("consumerd limits", "see which limit has so many keys: one that starts seldom keeps each for long"),
            Step("consumerd reload", "once that limit has a wider `per_second`, or another `by`"),
        ],
        "Do not add workers: all limits of a master share the places.",
    )


def _starves(facts: Facts, limit: LimitStatus, waits_s: float) -> Finding:
    which = limit.limit if limit.key is None else f"{limit.limit} of {limit.key}"
    listed_by = [pool.name for pool in facts.now.pools if limit.limit in pool.limits]
    allowed = [f"at once {limit.at_once}"] if limit.at_once is not None else []
    allowed += [f"{limit.per_second:g} a second"] if limit.per_second is not None else []
    is_without_key = limit.by is not None and limit.key is None
    return Finding(
        "limit_starves",
        listed_by[0] if len(listed_by) == 1 else "",
        f"Tasks wait {waits_s:.0f} s for the limit {which}.",
        [
            f"{limit.waiting} wait, {limit.running} run",
            f"it allows {' and '.join(allowed) or 'nothing'} to {', '.join(listed_by) or 'all'} together",
            *([f"those that wait so long have no {limit.by}, and are counted together"] if is_without_key else []),
        ],
        [
            Step("consumerd limits", "see all keys, and which waits for how long"),
            Step("consumerd reload", "once the configuration has a wider limit; nobody is restarted"),
        ],
        "Do not add workers: the limit is one for all of them.",
    )
