"""What tasks need and whether it answers; and the limits, how they are used, who waits for them."""

from __future__ import annotations

from collections.abc import Iterable

from consumerd import clock
from consumerd.config.amounts import duration
from consumerd.dashboard.page import Act, Ask, Context, Form, Page, Visit
from consumerd.verbs.destinations import CloseDestination, DestinationStatus, OpenDestination, ShowDestinations
from consumerd.wire.status import LimitStatus


def show(visit: Visit) -> Context:
    """What the template is given: what is away comes first, and for what tasks wait longest."""
    found: list[DestinationStatus] = visit.answer(ShowDestinations())
    limits: list[LimitStatus] = [] if visit.seen.metrics is None else visit.seen.metrics.status.limits
    return {
        "destinations": sorted(found, key=lambda each: (each.state == "closed", each.name, each.consumer)),
        "limits": sorted(limits, key=lambda each: -(each.first_waits_s or 0.0)),
        "since": _since,
        "share": _share,
    }


def _since(at: float | None) -> str:
    return "" if at is None else duration(max(0.0, clock.wall() - at))


def _share(limit: LimitStatus) -> float | None:
    """How much of what may run at once runs, of 1; None where any number may."""
    return None if not limit.at_once else min(1.0, limit.running / limit.at_once)


def _open(form: Form, ask: Ask) -> Iterable[str]:
    name = form.get("destination", "")
    opened = ask(OpenDestination(name, form.get("target") or None))
    return [f"{name} of {consumer} is open: its tasks wait until somebody closes it" for consumer in opened]


def _close(form: Form, ask: Ask) -> Iterable[str]:
    name = form.get("destination", "")
    closed = ask(CloseDestination(name, form.get("target") or None))
    return [f"{name} of {consumer}: its tasks begin again" for consumer in closed]


PAGE = Page("/destinations", "Destinations", "destinations.html", show, is_listed=True)
ACTS = (Act("destination-open", _open), Act("destination-close", _close))
