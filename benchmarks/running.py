"""`consumerd run`, for benchmarks of the whole tree."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self


class RunningMaster:
    """A master with one pool, in a directory of its own; gone, with all its workers, at the end of the `with`.

    `directory` holds the FIFO `hello` and the state directory `state`.
    """

    def __init__(self, consumer: str, workers: int, configs: dict[str, object] | None = None) -> None:
        self._configuration = {
            "benchmark": [{"class": consumer, "name": "pool", "configs": {"workers": workers, **(configs or {})}}]
        }
        self.directory = Path(tempfile.mkdtemp(prefix="consumerd-benchmark-"))
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        os.mkfifo(self.directory / "hello")
        configuration = self.directory / "benchmark.json"
        configuration.write_text(json.dumps(self._configuration))
        command = [sys.executable, "-m", "consumerd", "run", str(configuration), "--parking", "embedded"]
        self.process = subprocess.Popen(
            [*command, "--state-dir", str(self.directory / "state")],
            env=os.environ | {"BENCHMARK_DIRECTORY": str(self.directory), "PYTHONPATH": str(Path.cwd())},
            stdout=subprocess.DEVNULL,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        shutil.rmtree(self.directory)

    def worker_pids(self) -> list[int]:
        """The pids of the live workers, from `consumerd status`; none while the master has not begun to answer."""
        command = [sys.executable, "-m", "consumerd", "status", "--json", "--state-dir", str(self.directory / "state")]
        found = subprocess.run(command, capture_output=True, check=False, timeout=30)
        if found.returncode:
            return []
        status = json.loads(found.stdout)
        return [worker["pid"] for pool in status["pools"] for worker in pool["workers"] if worker.get("pid")]
