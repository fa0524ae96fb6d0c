"""What operators have set by hand, kept over restarts of the master: pinned numbers of workers, paused pools.

Runs in the master. A file in the state directory, replaced whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from consumerd.model.slots import MOST_WORKERS
from consumerd.state.state_dir import write_whole


@dataclass(frozen=True, slots=True)
class Pin:
    """A number of workers that holds until the configuration has another one than `configured`, or it is undone.

    configured: a number, or the bounds as text.
    """

    workers: int
    configured: int | str


@dataclass(frozen=True, slots=True)
class Paused:
    """Since when, on the wall clock, and by which user a pool is paused."""

    at: float
    by: str


@dataclass(frozen=True)
class Overrides:
    """By `group/name`. Consumers that are not in the configuration now may come back."""

    pins: Mapping[str, Pin] = field(default_factory=dict)
    paused: Mapping[str, Paused] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Replace the file. OSError where that cannot be."""
        document = {
            "pins": {name: [pin.workers, pin.configured] for name, pin in sorted(self.pins.items())},
            "paused": {name: [paused.at, paused.by] for name, paused in sorted(self.paused.items())},
        }
        write_whole(path, json.dumps(document, indent=1))


def load_overrides(path: Path) -> tuple[Overrides, str | None]:
    """What the file holds, and why it holds nothing that can be used, where it does."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        pins = {str(name): _pin(*pinned) for name, pinned in document["pins"].items()}
        paused = {str(name): Paused(float(at), str(by)) for name, (at, by) in document["paused"].items()}
        return Overrides(pins, paused), None
    except FileNotFoundError:
        return Overrides(), None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Overrides(), f"{path} cannot be read ({error}): scale and pause anew what was scaled and paused"


def _pin(workers: object, configured: object) -> Pin:
    if not isinstance(workers, int) or not isinstance(configured, int | str):
        raise TypeError("a pin is two numbers, or a number and a text")
    if not 1 <= workers <= MOST_WORKERS:
        raise ValueError(f"{workers} workers cannot be")
    return Pin(workers, configured)
