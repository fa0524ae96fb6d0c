"""The overview, as what the master said makes it."""

from __future__ import annotations

from typing import Any

import pytest

from consumerd.dashboard.access.sessions import Role
from consumerd.dashboard.pages import overview
from consumerd.dashboard.view.rendering import Renderer
from consumerd.dashboard.watch import Seen
from consumerd.doctor.facts import Finding
from unit.dashboard.test_watch import STATUS

FINDING = Finding("disk_full", "", "the disk is full", ["2 MB are free"], [])


@pytest.mark.parametrize(("found", "heading"), [([FINDING], "1 thing is wrong"), ([], "All is healthy")])
def test_what_is_found_is_told_also_while_every_pool_is_healthy(found: list[Finding], heading: str) -> None:
    renderer = Renderer(dict.fromkeys(("icon.svg", "page.css", "page.js"), "/"), [], has_tokens=False)
    totals = dict.fromkeys(("rate", "failed", "lag_tasks", "lag_s", "dead", "waiting", "running", "wanted"), 0.0)
    context: dict[str, Any] = {"page": overview.PAGE, "seen": Seen(1), "role": Role.READ_ONLY, "query": {}}
    shown = {"rows": [], "status": STATUS, "lately": [], "totals": totals, "found": found}
    standing = renderer.render(overview.PAGE.template, {**context, **shown}).parts["standing"]
    assert heading in standing
    assert ('class="standing good"' in standing) == (not found)
