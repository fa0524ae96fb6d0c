"""Twenty game servers, of which one is down for a while: what its tasks lose, what the others notice, how it returns.

`make destinations` is the whole run, with a minute of outage; the tests have a short one. The servers note each call,
and what is judged is their history.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.running import environment, running
from integration.scenarios.small_masters import entry, write_config
from servers.waiting import wait_until

SERVERS = [f"game-{number}" for number in range(20)]
SICK = "game-7"

SICK_A_SECOND, OTHERS_A_SECOND = 20, 4
FED_EVERY_S = 0.1

LEAST = 10
WORKERS, CONCURRENCY, MAX_UNSETTLED = 2, 12, 60
"""The window is bounded: without tasks that are put off, those of the sick server fill it within a few seconds."""

BEFORE_S, AFTER_S = 15.0, 15.0
BACK_WITHIN_S = 5.0
LATE_S = 0.1
"""A worker that is just about to begin an attempt when another one opens the destination is so late at most."""

SHORTEST_PAUSE_S = 0.2
AS_BEFORE, PATIENCE_S = 0.97, 3.0
IS_BACK = 0.75
OVERSHOOT, NOISE = 1.1, 3
DRAINED_S = 120.0


class Call(NamedTuple):
    """One call, as the servers had it: when, on the wall clock, and whether it was done."""

    at: float
    server: str
    number: int
    is_done: bool


@dataclass
class History:
    """What happened. Times are of the wall clock.

    given_at: when a task was there, by its number.
    down_at, up_at: of the sick server. opened_at: when the pool said that it took it for down.
    """

    calls: list[Call] = field(default_factory=list)
    given_at: dict[int, float] = field(default_factory=dict)
    given: Counter[str] = field(default_factory=Counter)
    began_at: float = 0.0
    down_at: float = 0.0
    opened_at: float = 0.0
    up_at: float = 0.0
    end_at: float = 0.0

    def done(self, start: float, stop: float, *, is_sick: bool) -> int:
        """How many tasks were done from then to then: of the sick server, or of all others."""
        return sum(call.is_done and start <= call.at < stop for call in self.calls if (call.server == SICK) is is_sick)

    def rate(self, start: float, stop: float, *, is_sick: bool) -> float:
        return self.done(start, stop, is_sick=is_sick) / (stop - start)


def complaints(history: History) -> list[str]:
    """What must not be."""
    return [*_lost(history), *_burnt(history), *_held_up(history), *_late(history), *_overshot(history)]


def _lost(history: History) -> Iterator[str]:
    done = Counter(call.server for call in history.calls if call.is_done)
    numbers = Counter(call.number for call in history.calls if call.is_done)
    if done != history.given:
        yield f"{history.given - done} were never done, {done - history.given} were done more often than given"
    if twice := [number for number, times in numbers.items() if times > 1]:
        yield f"{len(twice)} tasks were done twice, {twice[:5]}"


def _burnt(history: History) -> Iterator[str]:
    """Once it is open there are probes alone, one at a time."""
    sick = [call.at for call in history.calls if call.server == SICK and history.down_at <= call.at < history.up_at]
    before = [at for at in sick if at <= history.opened_at + LATE_S]
    if len(before) > LEAST + WORKERS * CONCURRENCY:
        yield f"{len(before)} attempts were made before it was taken for down"
    probes = [at for at in sick if at > history.opened_at + LATE_S]
    for first, second in itertools.pairwise(probes):
        if second - first < SHORTEST_PAUSE_S:
            yield f"two attempts within {second - first:.3f} s, {first - history.opened_at:.1f} s after it had opened"
    if not probes:
        yield "nobody has probed"


def _held_up(history: History) -> Iterator[str]:
    """What came for the others while it was down was done while it was down."""
    end = history.up_at - PATIENCE_S
    came = {number for number, at in history.given_at.items() if history.down_at <= at < end}
    sick = {call.number for call in history.calls if call.server == SICK}
    done = {call.number for call in history.calls if call.is_done and call.at < history.up_at}
    others = came - sick
    if len(others & done) < AS_BEFORE * len(others):
        yield f"of {len(others)} tasks that came for the others, {len(others & done)} were done while it was down"


def _late(history: History) -> Iterator[str]:
    usual = history.rate(history.began_at, history.down_at, is_sick=True)
    start = history.up_at + BACK_WITHIN_S
    if (found := history.rate(start, start + 2.0, is_sick=True)) < IS_BACK * usual:
        yield f"{BACK_WITHIN_S:g} s after it was up it was at {found:.1f} a second, {usual:.1f} before"


def _overshot(history: History) -> Iterator[str]:
    """In the first seconds after, no second is above the usual rate."""
    usual = history.rate(history.began_at, history.down_at, is_sick=True)
    for tenth in range(int(BACK_WITHIN_S * 10)):
        start = history.up_at + tenth / 10
        if (found := history.done(start, start + 1.0, is_sick=True)) > OVERSHOOT * usual + NOISE:
            yield f"{found} within a second, {tenth / 10:.1f} s after it was up; {usual:.1f} before"
            return


class Servers:
    """All of them, at one port, in a thread of their own. An answer takes some milliseconds, by a seed."""

    def __init__(self, seed: int) -> None:
        self.calls: list[Call] = []
        self.down: set[str] = set()
        self._random = random.Random(seed)

    @contextmanager
    def listening(self) -> Iterator[int]:
        """The port."""
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=512))
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            server.close()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server, number = (await reader.readline()).decode().split()
        at, is_up = time.time(), server not in self.down
        await asyncio.sleep(self._random.uniform(0.002, 0.02))
        self.calls.append(Call(at, server, int(number), is_up))
        if is_up:
            writer.write(b"done\n")
        writer.close()


@dataclass
class Destinations:
    """One run, in a directory."""

    directory: Path
    seed: int

    def run(self, down_s: float) -> History:
        """Before, while it is down for so long, after; until all is done."""
        self.history, self.servers = History(), Servers(self.seed)
        database = str(self.directory / "tasks.sqlite")
        create_table(database)
        with self.servers.listening() as port:
            config = write_config(self.directory, self._entry(database, port))
            log, env = self.directory / "log", environment()
            with running(config, state_dir=self.directory / "state", log=log, env=env) as master:
                master.wait_until_ready(WORKERS)
                self._feed(database, 3.0)
                self.history.began_at = time.time()
                self._feed(database, BEFORE_S)
                self.history.down_at = time.time()
                self.servers.down.add(SICK)
                self._feed(database, down_s)
                self.history.up_at = time.time()
                self.servers.down.clear()
                self._feed(database, AFTER_S)
                self.history.end_at = time.time()
                wait_until(lambda: self._left() == 0, DRAINED_S, lambda: f"{self._left()} tasks are not done")
        self.history.calls = self.servers.calls
        self.history.opened_at = _opened_at(log)
        return self.history

    def _entry(self, database: str, port: int) -> dict[str, object]:
        return entry(
            "Callbacks",
            WORKERS,
            "integration.scenarios.callbacks",
            database=database,
            port=port,
            concurrency=CONCURRENCY,
            max_unsettled=MAX_UNSETTLED,
            task_retry_times=3,
            back_off_time=5,
            max_back_off_time=5,
            breaker={"least": LEAST},
        )

    def _feed(self, database: str, seconds: float) -> None:
        """Give tasks at the usual rates."""
        began = time.monotonic()
        wanted = {server: SICK_A_SECOND if server == SICK else OTHERS_A_SECOND for server in SERVERS}
        given: Counter[str] = Counter()
        while (passed := time.monotonic() - began) < seconds:
            records = []
            for server, rate in wanted.items():
                for _ in range(int(passed * rate) - given[server]):
                    given[server] += 1
                    number = self.history.given.total()
                    records.append({"server": server, "number": number})
                    self.history.given_at[number] = time.time()
                    self.history.given[server] += 1
            enqueue(database, records)
            time.sleep(FED_EVERY_S)

    def _left(self) -> int:
        return self.history.given.total() - sum(call.is_done for call in self.servers.calls)


def _opened_at(log: Path) -> float:
    """When the pool said first that it takes the sick server for down; for ever where it has not."""
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{") and '"destination_opened"' in line:
            fact = json.loads(line)
            assert fact["destination"] == SICK, fact
            return datetime.fromisoformat(fact["timestamp"]).timestamp()
    return float("inf")


def summary(history: History) -> str:
    sick = [call for call in history.calls if call.server == SICK and history.down_at <= call.at < history.up_at]
    probes = sum(call.at > history.opened_at + LATE_S for call in sick)
    before, during = (
        history.rate(start, stop, is_sick=False)
        for start, stop in ((history.began_at, history.down_at), (history.down_at, history.up_at))
    )
    usual = history.rate(history.began_at, history.down_at, is_sick=True)
    after = [history.done(history.up_at + second, history.up_at + second + 1, is_sick=True) for second in range(14)]
    return (
        f"{history.given.total()} tasks; opened {history.opened_at - history.down_at:.2f} s after it went down; "
        f"{len(sick) - probes} attempts before, {probes} probes after; the others {during:.1f} a second, "
        f"{before:.1f} before ({during / before:.3f}); it did {usual:.1f} a second before, "
        f"and in each second after: {after}"
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="destinations")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the outage")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="consumerd-destinations-"))
    history = Destinations(directory, options.seed).run(options.seconds)
    print(f"seed {options.seed}: {summary(history)}")
    found = complaints(history)
    print("\n".join(found) or "all is well")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
