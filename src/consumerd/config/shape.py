"""The shape of a configuration: `{group: [{module, class, configs: {…}}]}`, and one reserved table, `consumerd`.

The master knows the common keys only; a source's options and the consumer's own `Config` are validated in the
consumer's zygote. Values of common keys but `environment` are resolved here (`${ENV}`, `file:`); all others travel as
they are written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from consumerd.config.common_keys import CommonKeys, Duration, PathName
from consumerd.config.execution import Execution
from consumerd.model.identity import ConsumerName

RESERVED = "consumerd"
"""The top-level key of the table `consumerd`; every other one is a group."""

EMBEDDED = "embedded"
"""`parking` as the store in the state directory."""


class Entry(BaseModel):
    """One consumer's entry, as it is written: `module` and `class`, or `class` as `package.module:Class` alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    module: str | None = None
    class_: str = Field(alias="class")
    name: str | None = None
    configs: dict[str, Any] = Field(default_factory=dict)  # the user's own keys have any plain value


class ConsumerSettings(BaseModel):
    """One consumer's entry, loaded. `configs` is as written (defaults merged under it), nothing in it resolved.

    origin, path: where the entry stands, for sentences; directory: where its module and its relative files are found;
    has_module_key: whether the entry has a `module`, or names it in its `class`;
    defaulted: the keys of `configs` that come from `consumerd.defaults`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    name: str
    target: str  # "package.module:Class"
    configs: dict[str, Any]  # the user's own keys have any plain value
    common: CommonKeys
    origin: str = ""
    path: tuple[str | int, ...] = ()
    directory: Path = Path()
    has_module_key: bool = True
    defaulted: frozenset[str] = frozenset()

    @property
    def full_name(self) -> ConsumerName:
        return ConsumerName(self.group, self.name)

    @property
    def execution(self) -> Execution:
        """How its processes are executed."""
        return Execution.of(self.common.model_dump(), self.directory)


class LogSettings(BaseModel):
    """format: `auto` writes for people on a terminal and JSON elsewhere; level: the lowest that is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(BaseModel):
    """The `consumerd` table: what belongs to no consumer.

    parking: `embedded`, a database URL, or None (embedded, and `run` judges whether that is durable enough).
    defaults: merged under every consumer's `configs`. watch: reload when the configuration's file has changed.
    on_event: a command, which the master executes when a pool fails or recovers and when a task dies.
    state_dir: where `run` keeps its state, unless its caller names a directory; relative to the configuration's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    parking: str | None = None
    state_dir: PathName | None = None
    stop_timeout: Duration = 25.0
    watch: bool = False
    on_event: list[PathName] = Field(default_factory=list)
    log: LogSettings = LogSettings()
    defaults: dict[str, Any] = Field(default_factory=dict)  # keys of `configs`, any plain value


class Document(BaseModel):
    """A whole configuration, loaded and valid. `origin` is the file, or `module:NAME`."""

    model_config = ConfigDict(frozen=True)

    origin: str
    directory: Path
    settings: Settings
    consumers: tuple[ConsumerSettings, ...]

    @property
    def state_dir(self) -> Path | None:
        """Where the configuration wants the state kept; None where it does not say."""
        return None if self.settings.state_dir is None else self.directory / self.settings.state_dir
