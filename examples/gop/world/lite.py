"""`make gop-lite`: the five daemons and the world around them on one SQLite file, and no server.

A worker of each is killed, and the master. It ends with the balance; exit code 1 where anything was lost or doubled.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from consumerd.sources.table.schema import create_table
from world.balance import Books, Line, RowsAsTopics, select, sheet
from world.launch_day import OLD, LaunchDay
from world.load import Load
from world.processes import HERE, Consumerd, Stage

MEMORY = Path("/dev/shm")
WORKERS = 8
UNDER_WAY = " UNION ALL ".join(
    f"SELECT count(*) FROM {table} WHERE state IN ('pending', 'claimed')"
    for table in ("login_task_row", "account_change_row", "payment_notification", "payment_check")
)
OLD_ORDERS = f"SELECT count(*) FROM game_order WHERE finished_at = '{OLD}'"


def run(folder: Path, load: Load, seconds: float, patience_s: float) -> list[Line]:
    """Produce for so long, kill as it goes, and wait until nothing is under way; the balance."""
    archive, url = folder / "archive", f"sqlite:///{folder / 'gop.sqlite'}"
    archive.mkdir()
    stage = Stage(folder, GOP_DATABASE=url, GOP_ARCHIVE=str(archive))
    day, consumerd = LaunchDay(stage, load, url, seconds), Consumerd(stage, HERE / "lite.toml")
    day.prepare()
    for table in ("login_task_row", "account_change_row"):
        create_table(url, table)

    def under_way() -> int:
        return sum(number for (number,) in select(url, f"{UNDER_WAY} UNION ALL {OLD_ORDERS}"))

    with day.partners(), consumerd.running(), day.front_ends() as front_ends:
        stage.wait_for(lambda: consumerd.number_of_workers() >= WORKERS, patience_s, "all workers run")
        consumerd.run_archive()
        stage.wait_for(lambda: all(each.poll() == 0 for each in front_ends), patience_s, "all is produced")
        consumerd.kill_workers()
        stage.wait_for(lambda: under_way() < load.changes // 2, patience_s, "half of the spike is over", under_way)
        consumerd.kill_master()
        stage.wait_for(lambda: under_way() == 0, patience_s, "nothing is under way", under_way)
    return Books(url, RowsAsTopics(url), load, game_servers=day.calls, archive=archive).lines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="of all counts")
    parser.add_argument("--seconds", type=float, default=8.0, help="for so long tasks are produced")
    parser.add_argument("--keep", action="store_true", help="the folder, to be looked at afterwards")
    parser.add_argument("--patience", type=float, default=90.0, help="the longest wait")
    arguments = parser.parse_args()
    counts = {"accounts": 200, "logins": 5000, "changes": 1500, "payments": 300, "orders": 3000}
    load = Load(seed=arguments.seed, **{name: max(10, int(count * arguments.scale)) for name, count in counts.items()})
    folder = Path(tempfile.mkdtemp(prefix="gop-lite-", dir=MEMORY if MEMORY.is_dir() else None))
    lines = run(folder, load, arguments.seconds, arguments.patience)
    print(sheet(lines))
    if not all(line.is_even for line in lines):
        print(f"not even: see {folder}")
        return 1
    if arguments.keep:
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
