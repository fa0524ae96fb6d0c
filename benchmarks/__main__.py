"""`python -m benchmarks [loop|observed|sql|waiting|batch|idle|memory|concurrency|restart|supervision|daemons|page …]`.

Exit code 1 where a bar does not hold.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from benchmarks import memory, page, table_group, table_idle, table_loop, table_peers
from benchmarks.batches.figures import figures as batch_figures
from benchmarks.concurrency import waiting
from benchmarks.daemons.whole import figures as daemon_figures
from benchmarks.figures import Figure, machine, table
from benchmarks.kafka import loop as kafka_loop
from benchmarks.kafka import observed
from benchmarks.supervision import restart, whole

AREAS: dict[str, tuple[Callable[[], Iterator[Figure]], ...]] = {
    "loop": (kafka_loop.figures, table_loop.figures),
    "observed": (observed.figures,),
    "sql": (
        table_loop.figures,
        table_loop.server_figures,
        table_group.figures,
        table_group.some_waiting,
        table_peers.figures,
    ),
    "waiting": (table_group.waiting,),
    "batch": (batch_figures,),
    "idle": (table_idle.figures,),
    "restart": (restart.figures,),
    "memory": (memory.figures,),
    "concurrency": (waiting.figures,),
    "supervision": (whole.figures,),
    "daemons": (daemon_figures,),
    "page": (page.figures,),
}
ALL = ("loop", "supervision")
"""What an empty command line means: the others are parts of these."""


def main(arguments: list[str]) -> int:
    wanted = arguments or ALL
    if unknown := [area for area in wanted if area not in AREAS]:
        print(f"benchmarks: no area {unknown[0]!r}: choose from {', '.join(AREAS)}", file=sys.stderr)
        return 2
    found: list[Figure] = []
    for area in wanted:
        for measure in AREAS[area]:
            for figure in measure():
                print(f"{figure.what}: {figure.ours}; beside {figure.beside}; {figure.value:.3g}", flush=True)
                found.append(figure)
    print(f"\n{machine()}\n\n{table(found)}")
    return 1 if any(figure.holds is False for figure in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
