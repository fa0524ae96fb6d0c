"""Whether the embedded parking store lasts as long as a source whose position moves on needs it to. Runs in the master.

Such a source (Kafka, a generator) has forgotten a task once it is parked: the store then is the only place that has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from consumerd import events
from consumerd.config.shape import EMBEDDED
from consumerd.events.facts import Fact
from consumerd.model.identity import ConsumerName
from consumerd.wire.messages import Loaded

MOUNTS = Path("/proc/self/mountinfo")
UNKNOWN_FILESYSTEM = "unknown"

_PASSING = {
    "tmpfs": "is in memory",
    "ramfs": "is in memory",
    "overlay": "goes with its container",
    "aufs": "goes with its container",
}
_KUBERNETES = "KUBERNETES_SERVICE_HOST"


class Durability:
    """Judges whether the parking store is durable enough for a consumer, and says the same thing only once.

    parking: the setting, None where nothing was said. An explicit one is never refused: whoever writes it knows.
    state_dir: the state directory.
    passes: why what is kept there passes away, as the end of a sentence, or None (`why_it_passes`).
    """

    def __init__(self, parking: str | None, state_dir: Path, passes: str | None, emit: Callable[[Fact], None]) -> None:
        self._parking = parking
        self._state_dir = state_dir
        self._passes = passes
        self._emit = emit
        self._said: set[str] = set()

    def judge(self, name: ConsumerName, loaded: Loaded) -> str | None:
        """Why this consumer must not run with this store, or None."""
        if not loaded.traits.get("positional", False) or self._parking not in (None, EMBEDDED):
            return None
        if self._passes is not None and self._parking is None:
            return (
                f"{name}: what fails would be kept in {self._state_dir} only, and {self._passes}: set parking to a "
                "database's URL, name a lasting --state-dir, or write --parking embedded if losing it is acceptable"
            )
        note = (
            f"what fails is kept in {self._state_dir}, which survives processes and reboots, not the loss of its disk: "
            "set parking to a database that all hosts share if that is not enough"
        )
        note += f" (and {self._passes})" if self._passes else ""
        if note not in self._said:
            self._said.add(note)
            self._emit(events.parking_judged(consumer=str(name), note=note))
        return None


def why_it_passes(filesystem: str, environ: Mapping[str, str]) -> str | None:
    """Why what a file system of this type keeps for this process passes away, or None."""
    if filesystem in _PASSING:
        return f"that is on {filesystem}, which {_PASSING[filesystem]}"
    if _KUBERNETES in environ:
        return "the process runs in Kubernetes, where a pod's disk goes with the pod"
    return None


def filesystem_of(path: Path, mounts: Path = MOUNTS) -> str:
    """The type of the file system that holds `path`, or will where it is not made yet, by the kernel's `mountinfo`."""
    path, found, depth = path.resolve(), UNKNOWN_FILESYSTEM, -1
    for line in mounts.read_text(errors="surrogateescape").splitlines() if mounts.exists() else ():
        fields, _, kind = line.partition(" - ")
        mounted_at = Path(_unescaped(fields.split()[4]))
        if path.is_relative_to(mounted_at) and len(mounted_at.parts) >= depth:
            found, depth = kind.split()[0], len(mounted_at.parts)
    return found


def _unescaped(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash as three octal digits."""
    for character in " \t\n\\":
        text = text.replace(f"\\{ord(character):03o}", character)
    return text
