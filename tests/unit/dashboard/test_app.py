"""What programs are told that ask without signing in."""

from __future__ import annotations

import json

from msgspec.structs import replace

from consumerd.dashboard.app import probes
from consumerd.dashboard.watch import Watch
from consumerd.wire.metrics import Metrics
from consumerd.wire.problems import PoolProblem, ProblemKind
from unit.dashboard.test_watch import STATUS, run
from unit.doctor.test_findings import POOL

SENTENCE = "shop/mails: smtp.example.org has been away for 7 s: 535 wrong password hunter2"


def test_whoever_asks_whether_all_is_well_is_told_kinds_and_no_sentence() -> None:
    async def ask() -> None:
        kinds = (ProblemKind.NEEDS_AWAY, ProblemKind.DESTINATION_OPEN, ProblemKind.DESTINATION_OPEN)
        wrong = [PoolProblem(kind, SENTENCE, "smtp.example.org") for kind in kinds]
        pool = replace(POOL, wrong=wrong, problems=[SENTENCE] * 3)
        status = replace(STATUS, is_healthy=False, problems=pool.problems, pools=[pool])
        routes = {route.path: route.endpoint for route in probes(Watch(lambda: Metrics(status, [], {})))}
        answer = await routes["/readyz"](None)
        assert answer.status_code == 503
        told = [{"consumer": "shop/mails", "kind": kind} for kind in ("destination_open", "needs_away")]
        assert json.loads(answer.body) == {"is_healthy": False, "state": "running", "problems": told}

    run(ask())
