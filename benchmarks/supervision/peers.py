"""The peers: how each is installed, in an environment of its own, and how it is told to run workers like ours.

All as their documentation has it, with nothing set but the number of workers.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmarks.running import ROOT, Command

CACHE = ROOT / ".cache"


@dataclass(frozen=True)
class Peer:
    """version: as installed. command: with so many workers; they end at once where `is_crashing`."""

    name: str
    version: str
    command: Callable[[int, bool], Command]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def installed() -> tuple[Peer, ...]:
    """All peers, from the dependency group `bench`; what is missing is installed."""
    folder = environment("peers", requirements((ROOT / "pyproject.toml").read_text()))
    library = next((folder / "lib").glob("python*/site-packages"))
    programs = folder / "bin"
    versions = {found.name.lower(): found.version for found in metadata.distributions(path=[str(library)])}
    commands = {
        "supervisor": ("supervisor", _supervisord),
        "circus": ("circus", _circus),
        "gunicorn": ("gunicorn", _gunicorn),
        "gunicorn --preload": ("gunicorn", _gunicorn_preloading),
        "celery": ("celery", _celery),
    }
    return tuple(
        Peer(name, versions[distribution], _bound(make, programs)) for name, (distribution, make) in commands.items()
    )


def requirements(pyproject: str) -> list[str]:
    """The dependency group `bench`, from the text of pyproject.toml."""
    group: list[str] = tomllib.loads(pyproject)["dependency-groups"]["bench"]
    return group


def environment(label: str, wanted: Sequence[str]) -> Path:
    """A virtualenv that has just what is wanted; another where that changes."""
    digest = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()[:12]
    folder = CACHE / f"{label}-{digest}"
    stamp = folder / "installed"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *wanted], check=True)
        stamp.touch()
    return folder


Make = Callable[[Path, Path, int, bool], list[str]]
"""programs, directory, workers, is_crashing: the command line."""


def _bound(make: Make, programs: Path) -> Callable[[int, bool], Command]:
    return lambda workers, is_crashing: lambda directory: make(programs, directory, workers, is_crashing)


def _worker(programs: Path, is_crashing: bool) -> str:
    return f"{programs}/python -m benchmarks.supervision.peer_worker {'crash' if is_crashing else ''}".strip()


def _supervisord(programs: Path, directory: Path, workers: int, is_crashing: bool) -> list[str]:
    (directory / "supervisord.conf").write_text(
        f"""[supervisord]
nodaemon=true
[program:worker]
command={_worker(programs, is_crashing)}
numprocs={workers}
process_name=%(process_num)d
autorestart=true
"""
    )
    return [f"{programs}/supervisord", "-c", "supervisord.conf"]


def _circus(programs: Path, directory: Path, workers: int, is_crashing: bool) -> list[str]:
    (directory / "circus.ini").write_text(
        f"""[circus]
endpoint = ipc://{directory}/endpoint
pubsub_endpoint = ipc://{directory}/pubsub
[watcher:worker]
cmd = {_worker(programs, is_crashing)}
numprocesses = {workers}
copy_env = True
"""
    )
    return [f"{programs}/circusd", "circus.ini"]


def _gunicorn(programs: Path, directory: Path, workers: int, is_crashing: bool) -> list[str]:
    del directory
    command = [
        f"{programs}/gunicorn",
        "--workers",
        str(workers),
        "--config",
        "python:benchmarks.supervision.peer_gunicorn",
    ]
    return [*_crashing(is_crashing), *command, "benchmarks.supervision.peer_gunicorn:application"]


def _gunicorn_preloading(programs: Path, directory: Path, workers: int, is_crashing: bool) -> list[str]:
    return [*_gunicorn(programs, directory, workers, is_crashing), "--preload"]


def _celery(programs: Path, directory: Path, workers: int, is_crashing: bool) -> list[str]:
    del directory
    command = [f"{programs}/celery", "--app", "benchmarks.supervision.peer_celery", "worker"]
    return [*_crashing(is_crashing), *command, "--concurrency", str(workers)]


def _crashing(is_crashing: bool) -> list[str]:
    return ["env", "BENCHMARK_CRASH=1"] if is_crashing else []
