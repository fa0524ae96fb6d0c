"""`make drills`: each drill by itself, with a master of its own; the doctor's first finding must be its cause.

Prints a table: the drill, the finding, after how many seconds, what ended it. `--only TEXT` runs those of that name.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from integration.scenarios.drills import handlers, hosts, servers
from integration.scenarios.drills.world import Drill, Result, World, run_together
from servers.database import DatabaseServer
from servers.kafka import KafkaServer
from servers.mariadb import launch_mariadb
from servers.packages import UnavailableError
from servers.postgres import launch_postgres
from servers.proxy import Proxy

HEADING = ("drill", "first finding", "found", "ended by", "gone after")


class Servers:
    """Those that drills need, each started when the first one asks for it."""

    def __init__(self, exits: contextlib.ExitStack) -> None:
        self._exits = exits
        self._known: dict[str, Any] = {}

    def of(self, drill: Drill) -> dict[str, Any]:
        """By name, as drills know them; of databases, what makes a fresh one."""
        found: dict[str, Any] = {}
        for name in drill.needs:
            match name:
                case "kafka":
                    found[name] = self._started(name, KafkaServer.launch)
                case "mariadb":
                    found[name] = self._databases(name, launch_mariadb)
                case "postgres":
                    found[name] = self._databases(name, launch_postgres)
                case _:
                    found |= proxied(self._databases("postgres", launch_postgres)("parking"))
        return found

    def _databases(self, name: str, launch: Callable[[], DatabaseServer]) -> Callable[[str], str]:
        server = self._started(name, launch)
        return lambda _: self._exits.enter_context(server.fresh_database())

    def _started(self, name: str, launch: Callable[[], Any]) -> Any:  # of any kind
        if name not in self._known:
            self._known[name] = launch()
            self._exits.callback(self._known[name].close)
        return self._known[name]


def proxied(url: str) -> dict[str, Any]:
    """A database behind a connection that can be cut."""
    server = make_url(url)
    proxy = Proxy(str(server.host), int(server.port or 0))
    through = server.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    return {"proxy": proxy, "parking": through}


@contextlib.contextmanager
def world_of(drill: Drill, found: dict[str, Any]) -> Iterator[World]:
    """Where one drill is alone."""
    with contextlib.ExitStack() as exits:
        directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="cd-")))
        state_dir = directory / "state"
        if drill in hosts.DRILLS:
            exits.enter_context(hosts.small_disk(state_dir))
        world = World(directory, state_dir, found, found.get("parking", "embedded"))
        drill.prepare(world)
        exits.enter_context(world.run())
        yield world


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="Only drills that have this in their name.")
    only = parser.parse_args().only
    drills = (*handlers.DRILLS, *hosts.DRILLS, *servers.TOGETHER, *servers.IN_TURN)
    results: list[Result] = []
    failed: list[str] = []
    with contextlib.ExitStack() as exits:
        known = Servers(exits)
        for drill in drills:
            if only not in drill.name:
                continue
            try:
                with world_of(drill, known.of(drill)) as world:
                    (result,) = run_together(world, [drill], is_first_of_all=True)
            except (AssertionError, TimeoutError, UnavailableError) as error:
                failed.append(f"{drill.name}: {str(error)[:2000]}")
            else:
                results.append(result)
                print(_row(result), flush=True)
    print(
        "\n".join(["", _line(HEADING), *map(_row, results), *(f"not found, or not ended: {each}" for each in failed)])
    )
    print(f"{len(results)} of {len(results) + len(failed)}, on {os.cpu_count()} cores")
    return 1 if failed else 0


def _row(result: Result) -> str:
    seconds = (f"{result.found_s:.1f} s", result.ended_by, f"{result.ended_s:.1f} s")
    return _line((result.drill.name, result.drill.finding, *seconds))


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
