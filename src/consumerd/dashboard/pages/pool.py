"""One pool: what it does over time, its workers, its configuration as it is and as it was; and what can be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from consumerd import events
from consumerd.cli.verb import Verb
from consumerd.dashboard.history import Figure, History
from consumerd.dashboard.page import Context, Form, NotThereError, Page, Visit, verb_act
from consumerd.dashboard.pages.overview import lately, row_of
from consumerd.dashboard.view.charts import Line
from consumerd.dashboard.view.figures import count, rate, seconds
from consumerd.errors import ConsumerdError, UsageError
from consumerd.model.slots import MOST_WORKERS
from consumerd.verbs.reload import ShowConfiguration
from consumerd.verbs.restart import Restart
from consumerd.verbs.scale import Scale, number, usual_most
from consumerd.wire.configuration import PoolConfiguration
from consumerd.wire.status import PoolStatus

MOST_SHARDS = 50
Chart = Mapping[str, Any]  # the arguments of `chart`


def show(visit: Visit) -> Context:
    """What the template is given."""
    name = f"{visit.parameters['group']}/{visit.parameters['name']}"
    pool, row = pool_of(visit, name), row_of(visit, name)
    history = visit.memory.day if visit.query.get("range") == "day" and visit.memory.day else visit.memory.hour
    shards = sorted(pool.lag, key=lambda shard: (-shard.tasks, shard.shard))
    return {
        "pool": pool,
        "most_workers": MOST_WORKERS,
        "usual_most": max(usual_most(), pool.workers_wanted),
        "row": row,
        "charts": list(_charts(visit, history, name)),
        "figures_since": history.begun(name, visit.seen.at),
        "has_day": visit.memory.day is not None,
        "range": "day" if history is visit.memory.day else "hour",
        "shards": shards[:MOST_SHARDS],
        "hidden_shards": max(0, len(shards) - MOST_SHARDS),
        "configuration": _configuration(visit, pool),
        "lately": list(lately(visit, most=10, consumer=name)),
    }


def pool_of(visit: Visit, name: str) -> PoolStatus:
    """Its status. NotThereError."""
    metrics = visit.seen.metrics
    if metrics is None:
        raise NotThereError(f"the master has not answered yet: {visit.seen.error}")
    found = metrics.status.pool(name)
    if found is None:
        raise NotThereError(f"the master runs no pool {name!r}")
    return found


def _charts(visit: Visit, history: History, name: str) -> Iterator[Chart]:
    at, size = visit.seen.at, _shown_steps(visit, history, name)

    def line(label: str, figure: Figure, colour: int = 1) -> Line:
        return Line(label, history.values(name, figure, at, size), colour)

    drawn: Sequence[tuple[str, str, list[Line], Any]] = (
        ("rate", "Tasks", [line("done", Figure.RATE), line("failed", Figure.FAILED, 2)], rate),
        ("took", "How long they took", [line("p50", Figure.P50_S), line("p99", Figure.P99_S, 2)], seconds),
        ("behind", "Behind", [line("tasks", Figure.LAG_TASKS)], count),
        ("age", "Oldest unfinished task", [line("age", Figure.LAG_S, 3)], seconds),
        ("workers", "Workers", [line("running", Figure.WORKERS, 4)], count),
        ("parked", "Parked", [line("tasks", Figure.PARKED, 2)], count),
    )
    marks = visit.memory.marks(name)
    for own, title, lines, shown in drawn:
        yield {
            "name": f"chart-{own}",
            "title": title,
            "lines": lines,
            "until": at,
            "step_s": history.step_s,
            "show": shown,
            "marks": marks,
        }


def _shown_steps(visit: Visit, history: History, name: str) -> int:
    """All of the history; a half or a sixth of it, where that holds all that is known."""
    known = history.known_steps(name, visit.seen.at)
    return next(size for size in (history.size // 6, history.size // 2, history.size) if size >= known)


def _configuration(visit: Visit, pool: PoolStatus) -> PoolConfiguration | None:
    """In force in this edition, after so many reloads of this master; None where it does not answer now."""
    metrics = visit.seen.metrics
    assert metrics is not None
    reloads = metrics.events.get(events.configuration_reloaded.name, 0)
    of = (metrics.status.started_at, pool.edition, pool.rejected, reloads)
    try:
        (found,) = visit.kept(ShowConfiguration(pool.name), of)
    except ConsumerdError:
        return None
    assert isinstance(found, PoolConfiguration)
    return found


def scaled(form: Form) -> Verb:
    """Of a form with `target` and `workers`: a number, or `auto`; and more than are usual once more, as `again`.

    UsageError.
    """
    written = form.get("workers", "").strip()
    if form.get("again", written).strip() != written:
        raise UsageError(f"nothing was changed: {written!r} was typed, and then {form['again']!r}")
    return Scale(form.get("target", ""), number(written), yes="again" in form)


PAGE = Page("/pools/{group}/{name}", "Pool", "pool.html", show)
ACTS = (verb_act("scale", scaled), verb_act("restart", lambda form: Restart(form.get("target", ""))))
