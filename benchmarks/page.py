"""The page: how long a large one takes to be made, how much memory that takes, what browsers cost the master.

The large one is of a fake control socket, which answers what a real master of one pool has said, fifty times over.
"""

from __future__ import annotations

import copy
import json
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.figures import Better, Figure, spread
from benchmarks.proc import pss_bytes, running_ns
from benchmarks.running import RunningMaster
from consumerd.wire.control import call

POOLS, WORKERS, BROWSERS = 50, 64, 5
PAGES = 20
WATCHED_S = 20.0
SETTLES_S = 3.0
Plain = dict[str, Any]  # an answer, as JSON brought it


def figures() -> Iterator[Figure]:
    """In about a minute."""
    with RunningMaster.of_pool("benchmarks.consumers:Announcing", WORKERS) as master:
        master.hellos.gather(WORKERS, 60.0)
        socket_path = master.directory / "state" / "control.sock"
        answer = call(socket_path, "metrics")
        alone = _share(master.process.pid)
        with page_of(master.directory / "state") as (address, _), looking(address, BROWSERS):
            time.sleep(SETTLES_S)
            watched = _share(master.process.pid)
        ours = f"{100 * watched:.2f} % of a core"
        what = f"the page, {BROWSERS} browsers: CPU of a master with {WORKERS} workers"
        yield Figure(what, ours, f"nobody looks: {100 * alone:.2f} %", 100 * watched, 1, Better.LOWER)
    yield from _large(answer)


def _large(answer: object) -> Iterator[Figure]:
    with answering(multiplied(answer)) as state_dir, page_of(state_dir) as (address, pid):
        time.sleep(SETTLES_S)
        of_all, of_one = _times(f"{address}/"), _times(f"{address}/pools/pool/0")
        with looking(address, BROWSERS):
            time.sleep(WATCHED_S / 2)
            pss = pss_bytes(pid) / 1e6
    what = f"the page with {POOLS} pools of {WORKERS} workers"
    beside = f"{PAGES} pages, an answer of the master of {len(json.dumps(multiplied(answer))) / 1e6:.1f} MB"
    for name, found in (("overview", of_all), ("a pool", of_one)):
        value = statistics.median(found)
        yield Figure(f"{what}: {name}", f"{spread(found, '.0f')} ms", beside, value, 200, Better.LOWER)
    yield Figure(f"{what}: PSS, {BROWSERS} browsers", f"{pss:.0f} MB", "–", pss, 80, Better.LOWER)


def multiplied(answer: Any) -> Plain:  # of any JSON
    """The answer of a master that has its only pool many times."""
    found: Plain = copy.deepcopy(answer)
    status, metrics = found["status"]["pools"][0], found["pools"][0]
    names = [f"pool/{number}" for number in range(POOLS)]
    found["status"]["pools"] = [{**status, "name": name} for name in names]
    found["pools"] = [{**metrics, "name": name} for name in names]
    return found


@contextmanager
def answering(answer: Plain) -> Iterator[Path]:
    """A state directory whose control socket answers this to `metrics`, and says nothing else."""
    directory = Path(tempfile.mkdtemp(prefix="consumerd-benchmark-"))
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(directory / "control.sock"))
        listening.listen(32)
        threading.Thread(target=_serve, args=(listening, answer), daemon=True).start()
        yield directory
    shutil.rmtree(directory)


def _serve(listening: socket.socket, answer: Plain) -> None:
    with suppress(OSError):  # closed
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_answer, args=(connection, answer), daemon=True).start()


def _answer(connection: socket.socket, answer: Plain) -> None:
    with connection, connection.makefile("rwb") as stream, suppress(OSError):
        for line in stream:
            asked = json.loads(line)
            known = {"metrics": answer, "status": answer["status"]}
            if asked["method"] in known:
                told = {"jsonrpc": "2.0", "id": asked["id"], "result": known[asked["method"]]}
            else:
                told = {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32000, "message": "not of a fake"}}
            stream.write(json.dumps(told).encode() + b"\n")
            stream.flush()


@contextmanager
def page_of(state_dir: Path) -> Iterator[tuple[str, int]]:
    """The page's process: its address, and its pid."""
    command = [sys.executable, "-m", "consumerd", "dashboard", "--state-dir", str(state_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        link = process.stdout.readline().strip()
        try:
            yield link.partition("/sign-in")[0], process.pid
        finally:
            process.send_signal(signal.SIGINT)


@contextmanager
def looking(address: str, browsers: int) -> Iterator[None]:
    """So many browsers have the overview open."""
    with ExitStack() as stack:
        for _ in range(browsers):
            stream = stack.enter_context(urllib.request.urlopen(f"{address}/live/"))
            threading.Thread(target=_drain, args=(stream,), daemon=True).start()
        yield


def _drain(stream: Any) -> None:  # of http.client
    with suppress(OSError, ValueError, AttributeError):  # closed
        while stream.readline():
            pass


def _times(address: str) -> list[float]:
    """How long pages take, in milliseconds, each made anew: by the query, two differ."""
    found = []
    for number in range(PAGES):
        begun = time.perf_counter()
        with urllib.request.urlopen(f"{address}?n={number}") as answer:
            answer.read()
        found.append(1000 * (time.perf_counter() - begun))
    return found


def _share(pid: int) -> float:
    """Of a core, over a while."""
    before, begun = running_ns(pid), time.monotonic_ns()
    time.sleep(WATCHED_S)
    return (running_ns(pid) - before) / (time.monotonic_ns() - begun)
