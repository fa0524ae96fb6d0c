"""The shape of a configuration: `{group: [{module, class, configs: {…}}]}`, and one reserved table, `consumerd`.

The master knows the common keys only; a source's options and the consumer's own `Config` are validated in the
consumer's zygote. Values of common keys are resolved here (`${ENV}`, `file:`); all others travel as they are written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from consumerd.model.identity import ConsumerName


class CommonKeys(BaseModel):
    """The keys of `configs` that every consumer may have. Durations in seconds.

    workers: the number of slots of the pool; process_name: the title of its processes.
    task_retry_times: immediate retries. back_off_time, max_back_off_time, expire_time: deferred retries.
    restart: `always` restarts a worker whose `iterate_task` returned; `on-failure` leaves its slot finished.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    workers: int = Field(default=1, ge=1, le=4096)
    process_name: str | None = None
    task_retry_times: int | None = Field(default=None, ge=0)
    reload_interval: float | None = Field(default=None, ge=0)
    back_off_time: float | None = Field(default=None, gt=0)
    max_back_off_time: float | None = Field(default=None, gt=0)
    expire_time: float | None = Field(default=None, gt=0)
    stop_timeout: float | None = Field(default=None, gt=0)
    settle_interval: float = Field(default=1.0, gt=0)
    max_unsettled: int = Field(default=10_000, ge=1)
    payload_limit: int = Field(default=1_048_576, ge=1, le=16 * 1_048_576)
    restart: Literal["on-failure", "always"] = "on-failure"


class ConsumerSettings(BaseModel):
    """One consumer's entry, loaded. `configs` is as written (defaults merged under it), nothing in it resolved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    name: str
    target: str  # "package.module:Class"
    configs: dict[str, Any]  # the user's own keys have any plain value
    common: CommonKeys

    @property
    def full_name(self) -> ConsumerName:
        return ConsumerName(self.group, self.name)


class LogSettings(BaseModel):
    """format: `auto` writes for people on a terminal and JSON elsewhere; level: the lowest that is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(BaseModel):
    """The `consumerd` table: what belongs to no consumer.

    parking: `embedded`, a database URL, or None (embedded, and `run` judges whether that is durable enough).
    defaults: merged under every consumer's `configs`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    parking: str | None = None
    stop_timeout: float = Field(default=25.0, gt=0)
    log: LogSettings = LogSettings()
    defaults: dict[str, Any] = Field(default_factory=dict)  # keys of `configs`, any plain value


class Document(BaseModel):
    """A whole configuration, loaded and valid. `origin` is the file, or `module:NAME`."""

    model_config = ConfigDict(frozen=True)

    origin: str
    directory: Path
    settings: Settings
    consumers: tuple[ConsumerSettings, ...]
