"""The table `[consumerd.dashboard]`: what answers HTTP, and who may do what there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from consumerd.config.common_keys import PathName
from consumerd.config.secrets import has_reference

SHORTEST_TOKEN = 16
"""A token of the page has so many characters or more: nobody can guess it."""

TOKENS = ("operator_token", "read_only_token")
"""The keys of the page's tokens, which are references."""


def _network(written: str) -> str:
    ipaddress.ip_network(written)
    return written


class DashboardSettings(BaseModel):
    """What answers HTTP. The tokens travel as they are written, and are resolved in the process that answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    listen: str = Field(
        default="127.0.0.1:9464",
        pattern=r"^(\[[0-9a-fA-F:.]+\]|[^:\s]+):[0-9]{1,5}$",
        description="Where it listens: `host:port`. Others than this host may ask where it is no address of loopback.",
    )
    operator_token: str | None = Field(
        default=None,
        description="Whoever signs in to [the page](dashboard.md) with it may act. A reference, such as "
        f"`${{CONSUMERD_OPERATOR}}` or `file:PATH`, to a text of {SHORTEST_TOKEN} characters or more.",
    )
    read_only_token: str | None = Field(
        default=None, description="Whoever signs in with it may look. As `operator_token`."
    )
    hosts: list[str] = Field(
        default_factory=list,
        description="The names by which browsers, Prometheus and probes reach it, such as `consumers.example.org`, "
        "with the port where it is no usual one. `localhost` and addresses are always taken.",
    )
    proxies: list[Annotated[str, AfterValidator(_network)]] = Field(
        default_factory=list,
        description="The addresses or networks of reverse proxies, such as `127.0.0.1` or `10.1.0.0/16`, which are "
        "believed whom they speak for (`X-Forwarded-For`, `X-Forwarded-Proto`). Left out: nobody is.",
    )
    history_file: PathName | None = Field(
        default=None,
        description="A file, relative to the configuration's directory, that keeps a day of each figure over restarts; "
        "it has 3 MB. Left out: an hour, in memory.",
    )


def tokens_as_written(table: Mapping[str, object]) -> dict[str, object]:
    """The tokens of the table, unresolved: no worker gets one, since settings travel to all."""
    return {key: table[key] for key in TOKENS if key in table}


def token_problems(settings: DashboardSettings | None, table: object) -> Iterator[tuple[str, str]]:
    """What is wrong with a token: its key, and a sentence. settings: the table, resolved."""
    written = tokens_as_written(table) if settings is not None and isinstance(table, dict) else {}
    for key, token in written.items():
        if not has_reference(token):
            yield key, "must be a reference, such as ${NAME} or file:PATH, and is written out"
        elif len(getattr(settings, key)) < SHORTEST_TOKEN:
            yield key, f"must stand for {SHORTEST_TOKEN} characters or more, and stands for fewer"
