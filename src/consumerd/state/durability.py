"""Whether the embedded parking store lasts as long as a source whose position moves on needs it to.

Such a source (Kafka, a generator) has forgotten a task once it is parked: the store then is the only place that has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
UNKNOWN_FILESYSTEM = "unknown"

_PASSING = {"tmpfs": "is in memory", "ramfs": "is in memory", "overlay": "goes with its container"}
_PASSING |= {"aufs": "goes with its container"}
_KUBERNETES = ("KUBERNETES_SERVICE_HOST",)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the state directory is. filesystem: its type, as the kernel names it."""

    filesystem: str
    in_kubernetes: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `run` says of the parking store: a sentence, or nothing; refused: it must not start so."""

    is_refused: bool = False
    sentence: str = ""


def judge(parking: str | None, *, is_positional: bool, where: Surroundings, state_dir: Path) -> Verdict:
    """Whether a consumer may run with this parking store.

    parking: the setting, None where nothing was said; is_positional: the source's trait. An explicit setting is
    never refused: whoever writes it knows.
    """
    if not is_positional or parking not in (None, "embedded"):
        return Verdict()
    reason = _why_it_passes(where)
    if reason is None or parking is not None:
        return Verdict(sentence=_SAID.format(state_dir=state_dir) + (f" (and {reason})" if reason else ""))
    return Verdict(is_refused=True, sentence=_REFUSED.format(state_dir=state_dir, reason=reason))


_SAID = (
    "what fails is kept in {state_dir}, which survives processes and reboots, not the loss of its disk: "
    "set parking to a database that all hosts share if that is not enough"
)
_REFUSED = (
    "what fails would be kept in {state_dir} only, and {reason}: set parking to a database's URL, name a lasting "
    "--state-dir, or write --parking embedded if losing it is acceptable"
)


def _why_it_passes(where: Surroundings) -> str | None:
    if where.filesystem in _PASSING:
        return f"that is on {where.filesystem}, which {_PASSING[where.filesystem]}"
    if where.in_kubernetes:
        return "the process runs in Kubernetes, where a pod's disk goes with the pod"
    return None


def look_around(state_dir: Path, environ: Mapping[str, str]) -> Surroundings:
    """The surroundings of this process; of a directory that is not made yet, those of the nearest that is."""
    mounts = MOUNTS.read_text(errors="surrogateescape") if MOUNTS.exists() else ""
    return Surroundings(
        filesystem=filesystem_of(state_dir.resolve(), mounts),
        in_kubernetes=any(name in environ for name in _KUBERNETES),
    )


def filesystem_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, an absolute one without links, by the kernel's `mountinfo`."""
    found, depth = UNKNOWN_FILESYSTEM, -1
    for line in mounts.splitlines():
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
