"""Drills of what handlers and their code do: no server is needed."""

from __future__ import annotations

import os
import signal
import textwrap
from functools import partial
from typing import Any

from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.drills.world import Drill, Finding, SlowServer, World
from servers.waiting import wait_until

TENANT = "tenant"
USUAL_TASKS, USUAL_S = 1000, 60.0
"""So many tasks say how long they take as a rule; they are done within so long."""

SOUND = """
    from integration.scenarios.drills.consumers import Steady


    class Deployed(Steady):
        pass
"""
CRASHING = """
    from integration.scenarios.drills.consumers import Steady, die_later


    class Deployed(Steady):
        def pre_consume(self):
            die_later(7.0)
"""
"""It proves itself, and dies a moment later."""


def _mark(name: str, world: World) -> None:
    (world.here(name) / "broken").touch()


def _unmark(name: str, world: World) -> None:
    (world.here(name) / "broken").unlink(missing_ok=True)


def _with(name: str, kind: str, world: World, **configs: Any) -> None:
    world.add(name, kind, **configs)


def _restart_mended(name: str, world: World, finding: Finding) -> str:
    """The code is mended, and the advice is followed."""
    _unmark(name, world)
    return world.step(finding, "consumerd restart")


def _cancel(world: World, finding: Finding) -> str:
    return world.step(finding, "consumerd cancel")


def _poison_table(world: World) -> None:
    url = f"sqlite:///{world.here('poison')}/rows"
    create_table(url)
    enqueue(url, [{"number": number} for number in range(5)])
    world.add("poison", "Poisoned", database=url, crash_limit=20)


def _poison(world: World) -> None:
    _mark("poison", world)
    enqueue(f"sqlite:///{world.here('poison')}/rows", [{"number": -1}])


def _calling(name: str, world: World, **configs: Any) -> None:
    server = world.servers[name] = SlowServer()
    world.add(name, "Calling", url=server.url, concurrency=4, **configs)


def _slow(world: World) -> None:
    wait_until(lambda: world.pool("slow")["handled"] >= USUAL_TASKS, USUAL_S, "known how long its tasks take")
    world.servers["slow"].pause_s = 3.0


def _fast(world: World, finding: Finding) -> str:
    """The load is taken off it, and comes back when it answers again."""
    world.step(finding, "consumerd pause")
    world.servers["slow"].pause_s = 0.02
    return world.step(finding, "consumerd resume")


def _leave(world: World) -> None:
    world.servers["dead"].leave()


def _come_back(world: World, finding: Finding) -> str:
    server = world.servers["dead"]
    world.servers["dead"] = SlowServer(server.server_port)
    world.step(finding, "consumerd destinations")
    return "the server is there again; a probe finds out"


def _reload_without_order(world: World, finding: Finding) -> str:
    world.reconfigure("hot", ordered=None)
    return world.step(finding, "consumerd reload")


def _module(world: World, code: str) -> None:
    path = world.directory / "deployed.py"
    path.write_text(textwrap.dedent(code))


def _deployed(world: World) -> None:
    _module(world, SOUND)
    world.add("deployed", "Deployed", module="deployed", workers=2)


def _deploy(world: World) -> None:
    _module(world, CRASHING)
    done = world.master.verb("restart", "drill/deployed", "--wait")
    assert done.returncode == 0, done.stderr  # it holds up, at first


def _deploy_back(world: World, finding: Finding) -> str:
    assert any("none had died before edition 2" in evidence for evidence in finding["evidence"]), finding
    _module(world, SOUND)
    return world.step(finding, "consumerd restart")


def _limited(world: World) -> None:
    world.more.setdefault("limits", {})[TENANT] = {"by": TENANT, "per_second": 50}
    world.add("limited", "Calling", concurrency=4, limits=[TENANT], max_unsettled=60)


def _narrow(world: World) -> None:
    """Somebody means well with a partner, and errs by some zeros."""
    world.more["limits"][TENANT]["per_second"] = 0.05
    world.write()
    assert world.master.verb("reload").returncode == 0


def _widen(world: World, finding: Finding) -> str:
    world.more["limits"][TENANT]["per_second"] = 50
    world.write()
    return world.step(finding, "consumerd reload")


def _stop_worker(world: World) -> None:
    os.kill(world.pool("frozen")["workers"][0]["pid"], signal.SIGSTOP)


def _continue(world: World, finding: Finding) -> str:
    return world.step(finding, "kill -CONT")


DRILLS = (
    Drill("limit starving a tenant", "limited", "limit_starves", _limited, _narrow, _widen),
    Drill("stuck handler", "stuck", "task_stuck", partial(_with, "stuck", "Hanging"), partial(_mark, "stuck"), _cancel),
    Drill(
        "poison task",
        "poison",
        "task_kills_workers",
        _poison_table,
        _poison,
        partial(_restart_mended, "poison"),
    ),
    Drill("slow destination", "slow", "tasks_slow", partial(_calling, "slow"), _slow, _fast),
    Drill(
        "dead destination",
        "dead",
        "destination_down",
        partial(_calling, "dead", destination="server"),
        _leave,
        _come_back,
    ),
    Drill(
        "hot key",
        "hot",
        "hot_key",
        partial(_with, "hot", "Keyed", concurrency=8, ordered="key"),
        partial(_mark, "hot"),
        _reload_without_order,
    ),
    Drill("crash loop after a deploy", "deployed", "crash_loop", _deployed, _deploy, _deploy_back),
    Drill(
        "retry storm",
        "storm",
        "retry_storm",
        partial(_with, "storm", "Failing", workers=2, back_off_time=1, task_retry_times=50),
        partial(_mark, "storm"),
        partial(_restart_mended, "storm"),
    ),
    Drill(
        "memory leak",
        "leak",
        "memory_grows",
        partial(_with, "leak", "Leaking", max_memory="64MiB"),
        partial(_mark, "leak"),
        partial(_restart_mended, "leak"),
    ),
    Drill("worker frozen", "frozen", "worker_frozen", partial(_with, "frozen", "Steady"), _stop_worker, _continue),
)
