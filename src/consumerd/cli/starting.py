"""How `consumerd run` goes on once its first zygote has been executed. What this imports takes a third of a second."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from consumerd.cli.verbs import methods
from consumerd.config.loading import PARKING_RULE, is_parking, load, unreachable_store_problems
from consumerd.config.problems import raise_problems
from consumerd.config.shape import Document, LogSettings
from consumerd.errors import UsageError
from consumerd.master.host.launcher import Launcher
from consumerd.master.host.own_process import ServiceSocket
from consumerd.master.run import run_master
from consumerd.state.state_dir import StateDirectory
from consumerd.state.working_directory import enter


@dataclass(frozen=True)
class RunOptions:
    """What the command line says: the configuration, and what counts instead of what it says.

    directory: in which it was said. A deploy may have put another one in its place, or may be about to.
    """

    config: str
    parking: str | None
    log_format: str | None
    directory: Path

    def read(self) -> Document:
        """The configuration as it is now. ConsumerdError."""
        enter(self.directory)
        document = load(self.config)
        settings = document.settings.model_copy(update=self._changes(document.settings.log))
        overridden = document.model_copy(update={"settings": settings})
        raise_problems(unreachable_store_problems(overridden, os.geteuid()))
        return overridden

    def _changes(self, log: LogSettings) -> dict[str, object]:
        changes: dict[str, object] = {}
        if self.parking is not None:
            if not is_parking(self.parking):
                raise UsageError(f"--parking must be {PARKING_RULE}, and is {self.parking!r}")
            changes["parking"] = self.parking
        if self.log_format is not None:
            changes["log"] = LogSettings.model_validate({"format": self.log_format, "level": log.level})
        return changes


def start(options: RunOptions, chosen: str | None, service_socket: ServiceSocket, launcher: Launcher) -> int:
    """Be the master until it ends; the exit code. chosen: the state directory, where the caller names one."""
    document = options.read()
    state_dir = StateDirectory.locate(chosen or document.state_dir, os.environ, os.geteuid())
    if not any(entry.common.enabled and entry.execution.is_plain for entry in document.consumers):
        launcher.close()  # each consumer brings surroundings of its own
    return run_master(document, state_dir, options.read, service_socket, launcher, methods())
