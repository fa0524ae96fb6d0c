"""`make gop`: the five daemons of examples/gop through the day of a launch, on Kafka, MariaDB and HTTP.

Twenty times the usual comes within a second. Workers, a zygote, the master, the broker and the database are killed
meanwhile, in an order by the seed. It ends with the balance; exit code 1 where anything was lost, doubled or left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.supervision.peers import environment, requirements

from integration.scenarios.gop_picture import svg
from integration.scenarios.running import EXAMPLE, ROOT
from servers.clerk import ClerkError
from servers.database import DatabaseServer
from servers.kafka import KafkaServer
from servers.mariadb import launch_mariadb
from world.balance import Books, Line, select, sheet
from world.launch_day import LaunchDay
from world.load import Load
from world.processes import Consumerd, Stage
from world.samples import Sampler, peak
from world.supervisord import Supervisord

PARTITIONS = 8
GROUPS = {"login_task": "login_consumer", "account_change": "account_consumer"}
"""Whoever consumes a topic is of this group."""
DAEMONS = {
    "update login grant time": "logins",
    "update user game account": "accounts",
    "payment notification": "notifications",
    "check payment status": "checks",
    "archive old data": "archive",
}
WRITE_S = 0.015
"""What a row of a grant takes the disk: a connection writes 67 a second, four workers 267."""
CHANGES_A_SECOND = 100
WORKERS = {"min": 1, "max": 4, "target_seconds": 10}
CHANGED: dict[str, dict[str, Any]] = {
    "login-grants": {"workers": WORKERS, "max_back_off_time": 5},
    "accounts": {"workers": 2, "limits": ["changes"]},
    "notifications": {"timeout": 2, "back_off_time": 0.2, "max_back_off_time": 2, "expire_time": 20},
    "checks": {
        "timeout": 2,
        "pending": [[5, 1], [30, 2]],
        "unknown": [[5, 0.5], [30, 1]],
        "back_off_time": 0.5,
        "max_back_off_time": 2,
        "expire_time": 30,
    },
    "archive": {"cron": None, "timezone": None, "every": 86_400, "page": 100, "back_off_time": 1},
}
"""What is other than in gop.toml, and mostly sooner: a day has five minutes here. None: the key goes."""
LOOK_S, AWAY_S = 10.0, 2.0


def load_of(seed: int, seconds: float) -> Load:
    """A day of four minutes has 72,000 logins, 100 a second and 2,000 in the spike."""
    return Load(
        seed=seed,
        accounts=20_000,
        logins=int(300 * seconds),
        changes=int(30 * seconds),
        payments=int(4 * seconds),
        orders=int(80 * seconds),
    )


def configuration() -> dict[str, Any]:
    """gop.toml, as it is here."""
    found = tomllib.loads((EXAMPLE / "gop.toml").read_text())
    found["consumerd"]["parking"] = "${GOP_DATABASE}"
    found["consumerd"]["limits"]["changes"] = {"per_second": CHANGES_A_SECOND}
    for entry in (entry for entries in found.values() if isinstance(entries, list) for entry in entries):
        configs = entry["configs"] | CHANGED[entry["name"]]
        entry["configs"] = {key: value for key, value in configs.items() if value is not None}
    return found


class KafkaTopics:
    """How far the groups have come, as the broker has it, and what consumerd has parked."""

    def __init__(self, kafka: KafkaServer, database: str) -> None:
        self._kafka, self._database = kafka, database

    def committed(self, topic: str) -> int:
        """How many messages of it are settled; an OSError while the broker does not say."""
        try:
            found = self._kafka.clerk.ask("committed", within_s=LOOK_S, topic=topic, group=GROUPS[topic])
        except ClerkError as error:
            raise OSError(str(error)) from error
        return sum(offset for _, offset in found)

    def left(self, topic: str) -> int:
        ends = self._kafka.clerk.ask("ends", within_s=LOOK_S * 4, topic=topic, partitions=PARTITIONS)
        return sum(offset for _, offset in ends) - self.committed(topic)

    def kept(self, topic: str) -> list[bytes]:
        if not select(self._database, "SHOW TABLES LIKE 'parked'"):
            return []
        query = f"SELECT payload FROM parked WHERE source = '{topic}' AND state = 'dead'"
        return [payload for (payload,) in select(self._database, query)]


class Daemons(Protocol):
    """Those who do the tasks, in the groups of `GROUPS` and by the columns of the tables.

    workers: the pids of those that run, by daemon; five of them.
    """

    def running(self) -> AbstractContextManager[None]: ...
    def workers(self) -> Mapping[str, Sequence[int]]: ...
    def run_archive(self) -> None: ...
    def kill_workers(self) -> None: ...
    def kill_zygote(self, name: str) -> None: ...
    def kill_master(self) -> None: ...


class Spike:
    """One run."""

    def __init__(self, day: LaunchDay, daemons: Daemons, kafka: KafkaServer, mariadb: DatabaseServer) -> None:
        self.day, self.daemons, self._kafka, self._mariadb = day, daemons, kafka, mariadb
        self.topics = KafkaTopics(kafka, day.database)
        self.sampler = Sampler(day, daemons, self.topics.committed)
        self._random = random.Random(day.load.seed)

    def run(self, patience_s: float, *, is_peaceful: bool = False) -> list[Line]:
        """The whole day, until nothing is left; the balance."""
        day, stage = self.day, self.day.stage
        for topic in GROUPS:
            self._kafka.create_topic(topic, PARTITIONS)
        day.prepare()
        with day.partners(), self.daemons.running():
            stage.wait_for(self._is_up, patience_s, "all daemons run")
            with self.sampler.looking(), day.front_ends() as front_ends:
                self.daemons.run_archive()
                for fault in [] if is_peaceful else self._faults():
                    stage.wait_for(self._is_up, patience_s, "all daemons run")
                    fault()
                stage.wait_for(lambda: all(each.poll() == 0 for each in front_ends), patience_s, "all is produced")
                stage.wait_for(lambda: self._left() == 0, patience_s, "nothing is left")
        return Books(day.database, self.topics, day.load, game_servers=day.calls, archive=None).lines()

    def _faults(self) -> Iterator[Callable[[], None]]:
        """Each at its time: spread over the day, one or two of them within the spike."""
        faults = [
            self.daemons.kill_workers,
            self.daemons.kill_workers,
            lambda: self.daemons.kill_zygote("gop_logins/login-grants"),
            self.daemons.kill_master,
            lambda: self._kill("the broker", self._kafka),
            lambda: self._kill("the database", self._mariadb),
        ]
        self._random.shuffle(faults)
        began = time.monotonic()
        for number, fault in enumerate(faults):
            at = self.day.seconds * (0.2 + 0.12 * number + 0.05 * self._random.random())
            time.sleep(max(0.0, began + at - time.monotonic()))
            yield fault

    def _kill(self, what: str, server: KafkaServer | DatabaseServer) -> None:
        if not server.is_ours:
            return
        self.day.stage.note(f"SIGKILL to {what}")
        server.kill()
        time.sleep(AWAY_S)
        server.start()
        self.day.stage.note(f"{what} is back")

    def _is_up(self) -> bool:
        workers = self.daemons.workers()
        return len(workers) == len(DAEMONS) and all(workers.values())

    def _left(self) -> float:
        """By what was seen last; none while something was never seen."""
        sample = self.sampler.samples[-1]
        return sum(sample.left(daemon) for daemon in DAEMONS.values()) if len(sample.given) == len(DAEMONS) else -1.0

    def peaks(self) -> Iterator[str]:
        for name, daemon in DAEMONS.items():
            found = peak(self.sampler.samples, daemon, self.day.spike())
            back = "" if found.caught_up_after_s is None else f", caught up {found.caught_up_after_s:.0f} s after it"
            yield f"{name:24}  {found.tasks:6.0f} tasks behind at the peak, {found.behind_s:.1f} s{back}"

    def picture(self) -> str:
        samples = [sample for sample in self.sampler.samples if len(sample.given) == len(DAEMONS)]
        limits = {"login_grant": WORKERS["max"] / WRITE_S, "account": CHANGES_A_SECOND}
        return svg(f"The day of a launch, seed {self.day.load.seed}", samples, self.day.stage.notes, limits)


def five_daemons(stage: Stage) -> Consumerd:
    config = stage.folder / "gop.json"
    config.write_text(json.dumps(configuration()))
    return Consumerd(stage, config)


def scripts(stage: Stage) -> Supervisord:
    """Of before/; supervisord is that of the benchmarks."""
    group = requirements((ROOT / "pyproject.toml").read_text())
    return Supervisord(stage, environment("peers", group) / "bin" / "supervisord")


@contextlib.contextmanager
def spike(
    folder: Path, *, seed: int, seconds: float, daemons_on: Callable[[Stage], Daemons] = five_daemons
) -> Iterator[Spike]:
    """On servers of its own. daemons_on: what does the tasks, not yet started."""
    with contextlib.ExitStack() as stack:
        kafka, mariadb = KafkaServer.launch(), launch_mariadb()
        stack.callback(kafka.close)
        stack.callback(mariadb.close)
        database = stack.enter_context(mariadb.fresh_database())
        stage = Stage(folder, GOP_BROKERS=kafka.brokers, GOP_DATABASE=database)
        day = LaunchDay(stage, load_of(seed, seconds), database, seconds, WRITE_S)
        yield Spike(day, daemons_on(stage), kafka, mariadb)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gop", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=240.0, help="for so long tasks are produced")
    parser.add_argument("--patience", type=float, default=180.0, help="the longest wait")
    parser.add_argument("--peaceful", action="store_true", help="nothing is killed")
    parser.add_argument("--before", action="store_true", help="by the scripts of before/, under supervisord")
    parser.add_argument("--picture", type=Path, help="an SVG file, of what went on over time")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="consumerd-gop-"))
    daemons_on = scripts if options.before else five_daemons
    with spike(folder, seed=options.seed, seconds=options.seconds, daemons_on=daemons_on) as run:
        lines = run.run(options.patience, is_peaceful=options.peaceful)
        print("\n".join([sheet(lines), "", *run.peaks()]))
        if options.picture:
            options.picture.write_text(run.picture())
    if not all(line.is_even for line in lines):
        print(f"not even: see {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
