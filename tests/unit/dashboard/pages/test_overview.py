"""The overview, as what the master said makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consumerd.dashboard.access.sessions import Role
from consumerd.dashboard.memory import Memory
from consumerd.dashboard.page import Visit
from consumerd.dashboard.pages import overview
from consumerd.dashboard.view.rendering import Renderer
from consumerd.dashboard.watch import Seen
from consumerd.doctor.facts import Finding
from unit.dashboard.test_memory import told
from unit.dashboard.test_watch import STATUS

FINDING = Finding("disk_full", "", "the disk is full", ["2 MB are free"], [])


@pytest.mark.parametrize(("found", "heading"), [([FINDING], "1 thing is wrong"), ([], "All is healthy")])
def test_what_is_found_is_told_also_while_every_pool_is_healthy(found: list[Finding], heading: str) -> None:
    renderer = Renderer(dict.fromkeys(("icon.svg", "page.css", "page.js"), "/"), [], has_tokens=False)
    totals = dict.fromkeys(("rate", "failed", "lag_tasks", "lag_s", "dead", "waiting", "running", "wanted"), 0.0)
    context: dict[str, Any] = {"page": overview.PAGE, "seen": Seen(1), "role": Role.READ_ONLY, "still": "", "query": {}}
    shown = {"rows": [], "status": STATUS, "lately": [], "totals": totals, "found": found}
    standing = renderer.render(overview.PAGE.template, {**context, **shown}).parts["standing"]
    assert heading in standing
    assert ('class="standing good"' in standing) == (not found)


@pytest.mark.parametrize("consumer", ["", "shop/mails"])
def test_a_flood_of_failures_hides_nothing_that_has_happened_lately(consumer: str) -> None:
    memory = Memory()
    memory.note_item(told("pool_paused", consumer="shop/mails"))
    for name in ("task_failed", "task_parked", "task_deferred", "failures_folded"):
        for _ in range(20):
            memory.note_item(told(name, consumer="shop/mails"))
    visit = Visit(Seen(), memory, Role.READ_ONLY, lambda method: None, lambda method, of: None, Path("/nowhere"))
    assert [item["event"] for item in overview.lately(visit, consumer=consumer)] == ["pool_paused"]
