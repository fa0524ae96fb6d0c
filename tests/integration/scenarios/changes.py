"""The run of changes: reloads and rolling restarts of a pool under load, which must cost no repeat and no descriptor.

`make changes` is the whole run, of 1,000 reloads and 200 restarts; the tests have a short one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from integration.scenarios.numbered_pool import POOL, NumberedPool, Report, exit_code, own_directory

WORKERS = 4
NEW_EDITION_EVERY = 20


class Changes:
    """One run: every so often a change begins before the one before has ended."""

    def __init__(self, directory: Path) -> None:
        self._pool = NumberedPool(directory, WORKERS)

    def run(self, *, reloads: int, restarts: int) -> Report:
        with self._pool.started():
            for number in range(reloads):
                self._tick()
                self._reload(number)
            self._wait_established()
            for _ in range(restarts):
                self._tick()
                self._pool.call("restart", target=POOL)
                self._wait_established()
                self._pool.report.done["restart"] += 1
        return self._pool.report

    def _tick(self) -> None:
        self._pool.fill()
        self._pool.sample()

    def _reload(self, number: int) -> None:
        """In turn nothing, a key of the master's, a live one, the number of workers; at times a new edition."""
        configured = self._pool.configured
        if number % NEW_EDITION_EVERY == NEW_EDITION_EVERY - 1:
            configured["color"] += 1
        elif number % 4 == 1:
            configured["max_unavailable"] = 3 - configured["max_unavailable"]
        elif number % 4 == 2:
            configured["tint"] += 1
        elif number % 4 == 3:
            configured["workers"] = 2 * WORKERS - 1 - configured.get("workers", WORKERS)
        self._pool.configure()
        kinds = self._pool.call("reload")["changes"]
        self._pool.report.done[kinds[0].split()[1] if kinds else "nothing new"] += 1

    def _wait_established(self) -> None:
        """Until every slot runs the newest edition."""

        def is_established() -> bool:
            pool = self._pool.pool()
            editions = {worker["edition"] for worker in pool["workers"]}
            states = {worker["state"] for worker in pool["workers"]}
            return editions == {pool["edition"]} and states == {"running"}

        self._pool.wait(is_established, "one edition everywhere")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="changes")
    parser.add_argument("--reloads", type=int, default=1000)
    parser.add_argument("--restarts", type=int, default=200)
    options = parser.parse_args(arguments)
    run = Changes(own_directory(tempfile.mkdtemp(prefix="consumerd-changes-"), "changes"))
    return exit_code(run.run(reloads=options.reloads, restarts=options.restarts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
