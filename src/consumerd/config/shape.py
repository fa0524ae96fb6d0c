"""The shape of a configuration: `{group: [{module, class, configs: {…}}]}`, and one reserved table, `consumerd`.

The master knows the common keys only; a source's options and the consumer's own `Config` are validated in the
consumer's zygote. Values of common keys but `environment` are resolved here (`${ENV}`, `file:`); all others travel as
they are written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from consumerd.config.common_keys import CommonKeys, PathName
from consumerd.config.dashboard import DashboardSettings
from consumerd.config.execution import Execution
from consumerd.config.sizes import Duration
from consumerd.config.tables import Place
from consumerd.errors import UsageError
from consumerd.model.identity import ConsumerName
from consumerd.model.limits import Numbers

RESERVED = "consumerd"
"""The top-level key of the table `consumerd`; every other one is a group."""

EMBEDDED = "embedded"
"""`parking` as the store in the state directory."""


class Entry(BaseModel):
    """One consumer's entry, as it is written: `module` and `class`, or `class` as `package.module:Class` alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    module: str | None = Field(
        default=None,
        description="The Python module that holds the class. It is looked for in the configuration's directory first "
        "(for a configuration `module:NAME`, in the current one). Left out: `class` names it.",
    )
    class_: str = Field(
        alias="class",
        description="The consumer's class; `package.module:Class` where there is no `module`.",
    )
    name: str | None = Field(
        default=None,
        description="The second half of the consumer's name, `group/name`; unique in its group. Left out: the class.",
    )
    configs: dict[str, Any] = Field(  # the user's own keys have any plain value
        default_factory=dict,
        description="The common keys, those of the source, and the consumer's own.",
    )


class LimitBy(BaseModel):
    """What a limit counts together: what the processes of its consumers need to know from their start."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    by: str | None = Field(
        default=None,
        min_length=1,
        description="A field of the record: each value of it has the limit for itself. Left out: all tasks together, "
        "unless the consumer has `limit_key(name, record)`.",
    )


class LimitNumbers(BaseModel):
    """Where the numbers of a limit stand in a database of the user's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    database: str = Field(
        min_length=1,
        description="The URL of a server, such as `mysql://app:${DB_PASSWORD}@db/app`, or the path of a SQLite file.",
    )
    query: str = Field(
        min_length=1,
        description="Its first column is the key, NULL for tasks without one; the columns `at_once` and `per_second`, "
        "or one of them, are its numbers: `SELECT name, max_calls AS at_once FROM partner`. NULL, and a key that it "
        "does not return, mean the numbers that the limit itself has; 0 that nothing may start.",
    )
    every: Duration = Field(default=30.0, ge=1, description="It is asked every so many seconds.")


class LimitSettings(LimitBy):
    """One limit, as it is written."""

    at_once: int | None = Field(
        default=None, ge=1, le=1_000_000, description="How many tasks may run at once. Left out: any number."
    )
    per_second: float | None = Field(
        default=None,
        ge=0.001,
        le=1_000_000,
        description="How many tasks may start in a second, evenly; 0.5 is one every two seconds. Left out: any number.",
    )

    numbers: LimitNumbers | None = Field(
        default=None, description="Numbers of each key that are read from a database of yours, [a table](#numbers)."
    )
    each_host: bool = Field(
        default=False,
        description="Whether each host has the limit for itself, though hosts share a parking store on a server.",
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.at_once is None and self.per_second is None and self.numbers is None:
            raise ValueError("limits nothing: add at_once or per_second, or numbers")
        return self

    @property
    def structure(self) -> LimitBy:
        """Without its numbers, which change while everything runs."""
        return LimitBy(by=self.by)

    @property
    def fixed(self) -> Numbers:
        """What holds where a database says nothing else."""
        return Numbers.of(self.at_once, self.per_second)


class ConsumerSettings(BaseModel):
    """One consumer's entry, loaded. `configs` is as written (defaults merged under it), nothing in it resolved.

    target: `package.module:Class`.
    common: the common keys among `configs`, resolved.
    limits: those that it lists, without their numbers.
    origin: the document's file, or `module:NAME`, for sentences about it.
    path: where the entry stands in the document, for the same.
    directory: the configuration's, where the module and relative files are looked for.
    module_key: the key of the entry that names the module: `module`, or `class`.
    defaulted: the keys of `configs` that come from `consumerd.defaults`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    name: str
    target: str
    configs: dict[str, Any]  # the user's own keys have any plain value
    common: CommonKeys
    limits: dict[str, LimitBy] = {}
    origin: str = ""
    path: tuple[str | int, ...] = ()
    directory: Path = Path()
    module_key: str = "module"
    defaulted: frozenset[str] = frozenset()

    @property
    def full_name(self) -> ConsumerName:
        return ConsumerName(self.group, self.name)

    @property
    def place(self) -> Place:
        """Where its entry stands."""
        return Place(self.origin, self.path)

    @property
    def configs_place(self) -> Place:
        return place_of_configs(self.place, self.defaulted)

    @property
    def execution(self) -> Execution:
        """How its processes are executed."""
        return Execution.of(self.common.model_dump(), self.directory)


def place_of_configs(entry: Place, defaulted: Iterable[str]) -> Place:
    """Where the `configs` of an entry stand, and each key that came from the defaults where those stand."""
    moved = {key: (RESERVED, "defaults", key) for key in defaulted}
    return replace(entry, path=(*entry.path, "configs"), moved=moved)


class LogSettings(BaseModel):
    """The table `consumerd.log`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="How the log is written: `json`, one object a line; `console`, for people; `auto`, for people on a "
        "terminal and as JSON elsewhere.",
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="The lowest level that is written: `debug`, `info`, `warning` or `error`.",
    )


class Settings(BaseModel):
    """The table `consumerd`: what belongs to no consumer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    parking: str | None = Field(
        default=None,
        description="Where waiting and dead tasks are kept: `embedded`, SQLite in the state directory, or a "
        "database's URL, such as `postgresql://app:${DB_PASSWORD}@db/app`. Left out: the embedded store, if "
        "`consumerd run` finds the state directory durable enough.",
    )
    state_dir: PathName | None = Field(
        default=None,
        description="The state directory, relative to the configuration's; `--state-dir` and `CONSUMERD_STATE_DIR` go "
        "first. Verbs that do not read the configuration have to be told by one of those. Left out: "
        "`$XDG_STATE_HOME/consumerd`, else `/var/lib/consumerd` for root, else `~/.local/state/consumerd`.",
    )
    stop_timeout: Duration = Field(
        default=25.0, description="How many seconds a stop may take, for all workers together."
    )
    watch: bool = Field(
        default=False,
        description="Whether to reload when the configuration's file has changed, once two readings 2 seconds apart "
        "agree.",
    )
    on_event: list[PathName] = Field(
        default_factory=list,
        description="A command, as a list of texts, that is executed when a pool fails or recovers, and when a task is "
        'parked as dead: `["/usr/local/bin/page", "--team", "data"]`.',
    )
    limits: dict[str, LimitSettings] = Field(
        default_factory=dict,
        description="Limits, a table for each name; consumers list in `limits` those that hold for them.",
    )
    dashboard: DashboardSettings | None = Field(
        default=None,
        description="A table: [a page](dashboard.md), [metrics](metrics.md) and probes over HTTP, by a process of its "
        "own. Left out: none.",
    )
    log: LogSettings = Field(default=LogSettings(), description="How the log is written.")
    defaults: dict[str, Any] = Field(  # keys of `configs`, any plain value
        default_factory=dict,
        description="Keys that are merged under every consumer's `configs`; an entry's own win.",
    )

    def is_shared(self, limit: LimitSettings) -> bool:
        """Whether the limit is one over all hosts: where their parking store is on a server, or may be on one."""
        is_file = self.parking is None or self.parking == EMBEDDED or self.parking.startswith("sqlite")
        return not (limit.each_host or is_file)


FILE_SUFFIXES = (".toml", ".json")
"""Of a configuration that is a file; any other is a Python object."""


class Document(BaseModel):
    """A whole configuration, loaded and valid. `origin` is the file, or `module:NAME`."""

    model_config = ConfigDict(frozen=True)

    origin: str
    directory: Path
    settings: Settings
    consumers: tuple[ConsumerSettings, ...]

    @property
    def config(self) -> str:
        """CONFIG, as who runs elsewhere may name it: a file by its whole path."""
        is_file = Path(self.origin).suffix.lower() in FILE_SUFFIXES
        return str(self.directory / Path(self.origin).name) if is_file else self.origin

    @property
    def state_dir(self) -> Path | None:
        """Where the configuration wants the state kept; None where it does not say."""
        return None if self.settings.state_dir is None else self.directory / self.settings.state_dir

    def chosen(self, target: str) -> ConsumerSettings:
        """The one consumer that TARGET means; UsageError where that is none, or several."""
        chosen = [consumer for consumer in self.consumers if consumer.full_name.matches(target)]
        names = ", ".join(str(consumer.full_name) for consumer in (chosen or self.consumers))
        if not chosen:
            raise UsageError(f"there is no consumer {target!r} in {self.origin}: it has {names}")
        if len(chosen) > 1:
            raise UsageError(f"{target!r} means several consumers: choose one of {names}")
        return chosen[0]
