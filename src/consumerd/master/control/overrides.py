"""What operators have set by hand, kept over restarts of the master: pinned numbers of workers, paused pools.

Runs in the master. A file in the state directory, replaced whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from consumerd.model.slots import MOST_WORKERS
from consumerd.state.state_dir import write_whole


class Pin(msgspec.Struct, frozen=True, array_like=True):
    """A number of workers that holds until the configuration has another one than `configured`, or it is undone.

    configured: a number, or the bounds as text.
    """

    workers: Annotated[int, Meta(ge=1, le=MOST_WORKERS)]
    configured: int | str


class Paused(msgspec.Struct, frozen=True, array_like=True):
    """Since when, on the wall clock, and by which user a pool is paused."""

    at: float
    by: str


class Overrides(msgspec.Struct, frozen=True):
    """By `group/name`. Consumers that are not in the configuration now may come back."""

    pins: dict[str, Pin]
    paused: dict[str, Paused]

    def save(self, path: Path) -> None:
        """Replace the file. OSError where that cannot be."""
        write_whole(path, msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1).decode())


NOTHING_BY_HAND = Overrides({}, {})


def load_overrides(path: Path) -> tuple[Overrides, str | None]:
    """What the file holds, and why it holds nothing that can be used, where it does."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Overrides), None
    except FileNotFoundError:
        return NOTHING_BY_HAND, None
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        return NOTHING_BY_HAND, f"{path} cannot be read ({error}): scale and pause anew what was scaled and paused"
