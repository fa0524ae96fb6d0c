"""`consumerd top` over a small shop that is busy, as a picture: `python -m integration.scenarios.top_picture FILE`."""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

from consumerd import Dead, TableBaseConsumer
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.state.state_dir import StateDirectory
from consumerd.top.app import Top
from integration.scenarios.running import environment

MODULE = "integration.scenarios.top_picture"
WATCHED_S, SIZE = 85.0, (112, 15)
CAME_A_SECOND = {"orders": 900, "mails": 220, "payments": 60, "stock": 350, "invoices": 25}
FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)

Record = dict[str, Any]


class Orders(TableBaseConsumer):
    """Takes a while for each order."""

    def handle_task(self, offset: int, record: Record) -> None:
        time.sleep(self.config["task_s"])


class Payments(Orders):
    """Refuses a payment now and then."""

    def handle_task(self, offset: int, record: Record) -> object:
        super().handle_task(offset, record)
        return Dead("the card is not known") if record["number"] % 40 == 0 else None


class Invoices(Orders):
    """One invoice does not end."""

    def handle_task(self, offset: int, record: Record) -> None:
        time.sleep(3600 if record["number"] == 50 else self.config["task_s"])


def configuration(directory: Path) -> None:
    """Five consumers, each on a table of its own."""
    how: dict[str, tuple[str, int, float]] = {
        "orders": ("Orders", 4, 0.003),
        "mails": ("Orders", 2, 0.008),
        "payments": ("Payments", 2, 0.02),
        "stock": ("Orders", 1, 0.004),
        "invoices": ("Invoices", 2, 0.03),
    }
    entries = []
    for name, (kind, workers, task_s) in how.items():
        database = str(directory / f"{name}.sqlite")
        create_table(database)
        configs = {"workers": workers, "database": database, "task_s": task_s}
        entries.append({"module": MODULE, "class": kind, "name": name, "configs": configs})
    (directory / "shop.json").write_text(json.dumps({"shop": entries, "consumerd": {"stop_timeout": 2}}))


def feed(directory: Path, has_ended: Event) -> None:
    """Rows come in gusts."""
    number = 0
    while not has_ended.wait(1.0):
        for name, rows in CAME_A_SECOND.items():
            come = int(rows * random.uniform(0.3, 1.6))
            enqueue(str(directory / f"{name}.sqlite"), [{"number": number + each} for each in range(come)])
        number += 50


async def watch(state_dir: Path) -> str:
    """The picture, after a while."""
    top = Top(StateDirectory(state_dir))
    async with top.run_test(size=SIZE) as keys:
        await keys.pause(WATCHED_S)
        return top.export_screenshot(title="consumerd top")


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        directory, has_ended = Path(place), Event()
        configuration(directory)
        command = [sys.executable, "-m", "consumerd", "run", "shop.json", "--state-dir", "state"]
        with (directory / "log").open("wb") as log:
            master = subprocess.Popen(command, cwd=directory, env=environment(), stdout=log, stderr=log)
        feeder = Thread(target=feed, args=(directory, has_ended))
        feeder.start()
        try:
            picture = asyncio.run(watch(directory / "state"))
        finally:
            has_ended.set()
            feeder.join()
            master.terminate()
            master.wait()
    file.write_text(FONTS.sub("", picture))  # nothing is loaded from elsewhere


if __name__ == "__main__":
    main(Path(sys.argv[1]))
