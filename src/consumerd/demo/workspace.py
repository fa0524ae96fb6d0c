"""The demo's directory: its files, the configuration that it writes, the tasks that it produces."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from consumerd.config.state_dir import StateDirectory
from consumerd.demo.grants import opened
from consumerd.errors import StateDirectoryError, UsageError
from consumerd.sources.table.schema import create_table, enqueue

GROUP, CONSUMER, TABLE = "demo", "logins", "login_task"
TARGET = f"{GROUP}/{CONSUMER}"
STOP_TIMEOUT_S = 10
_PREFIX = "consumerd-demo-"

_CONFIGURATION = """\
# Written by `consumerd demo`: one consumer, four worker processes, everything in SQLite files.

[consumerd]
parking = "embedded"  # what keeps failing is kept in the state directory
stop_timeout = {stop_timeout_s}

[[{group}]]
name = "{name}"
class = "consumerd.demo.login_consumer:LoginConsumer"

[{group}.configs]
workers = {workers}
task_retry_times = 1  # a failed task is tried once more at once, then parked
database = {database}
table = "{table}"
batch_size = 25  # small, so that one can watch; the default is 100

# The demo consumer's own keys
grants = {grants}
pause_s = {pause_s}
"""


@dataclass(frozen=True, slots=True)
class Workspace:
    """One demo's directory."""

    path: Path

    @classmethod
    def make(cls) -> Workspace:
        """A new directory, under TMPDIR where that path is short enough for a Unix socket, else under /tmp.

        Raises UsageError where there is no place for it.
        """
        for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - only a place for a fresh private directory
            try:
                workspace = cls(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)))
            except OSError as error:
                raise UsageError(f"no directory can be made in {parent} ({error.strerror}): set TMPDIR") from error
            if workspace._has_short_path():
                return workspace
            workspace.path.rmdir()
        raise UsageError("the path of a temporary directory is too long for a Unix socket: set TMPDIR to a shorter one")

    @property
    def configuration(self) -> Path:
        return self.path / "demo.toml"

    @property
    def state_dir(self) -> Path:
        return self.path / "state"

    @property
    def tasks(self) -> Path:
        """The SQLite file with the table of tasks."""
        return self.path / "tasks.sqlite"

    @property
    def tasks_url(self) -> str:
        return f"sqlite:///{quote(str(self.tasks))}"

    @property
    def grants(self) -> Path:
        """The SQLite file that the handlers write."""
        return self.path / "grants.sqlite"

    @property
    def log(self) -> Path:
        """What the master and its children say."""
        return self.path / "consumerd.log"

    @property
    def state(self) -> StateDirectory:
        return StateDirectory(self.state_dir)

    def write_configuration(self, *, workers: int, pause_s: float) -> str:
        """Write the configuration, and return its text."""
        text = _CONFIGURATION.format(
            stop_timeout_s=STOP_TIMEOUT_S,
            group=GROUP,
            name=CONSUMER,
            workers=workers,
            database=json.dumps(self.tasks_url),  # a JSON string is a TOML string
            table=TABLE,
            grants=json.dumps(str(self.grants)),
            pause_s=pause_s,
        )
        self.configuration.write_text(text)
        return text

    def produce(self, payloads: Sequence[bytes]) -> None:
        """Make the tables, and put the tasks into theirs."""
        with opened(self.grants) as grants:
            grants.create()
        create_table(self.tasks_url, TABLE)
        enqueue(self.tasks_url, payloads, TABLE)

    def _has_short_path(self) -> bool:
        try:
            StateDirectory.locate(self.state_dir, {}, 0)
        except StateDirectoryError:
            return False
        return True
