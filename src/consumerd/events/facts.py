"""Facts: what has become true. Code emits them; listeners write log lines, count, or pass them on.

An event says what kind of fact there can be: its name, its level, its fields, and who is told. All of consumerd's are
declared in `consumerd.events`, each by the signature of the call that makes its facts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Flag, StrEnum, auto
from typing import Generic, ParamSpec, Protocol

from consumerd.clock import iso

P = ParamSpec("P")


class Level(StrEnum):
    """error: a human must look; warning: a human may look; info: state changed; debug: everything else."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Audience(Flag):
    """Who is told of an event, besides the log of the process where it happens.

    MASTER: a worker posts it, and a master that reads nothing gets it later. `status` and followers know of it.
    MASTER_IF_IT_READS: a worker posts it unless the master reads nothing: of single tasks there may be many.
    COMMAND: the command that `on_event` names.
    AUDIT: the audit log.
    """

    NOBODY = 0
    MASTER = auto()
    MASTER_IF_IT_READS = auto()
    COMMAND = auto()
    AUDIT = auto()


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing worth knowing, as an `Event` makes it, or as a worker has reported it.

    name: past tense, `task_failed`.
    fields: consumer, worker, task, attempt and whatever else tells about it: plain values, no payload, no secret.
    """

    name: str
    level: Level = Level.INFO
    fields: dict[str, object] = field(default_factory=dict)

    def at(self, level: Level) -> Fact:
        """The same fact on another level."""
        return replace(self, level=level)


@dataclass(frozen=True, slots=True, eq=False)
class Event(Generic[P]):
    """A kind of fact. Called with its fields, it makes one: `source_away(error="refused")`.

    name: as log lines have it.
    own_name: of its declaration, and as `on_event` is told of it.
    fields: their names; optional: of those that not every fact has.
    levels: those that its facts may have; the first is the one that they get.
    to: who is told of it besides the log.
    away: what is away from now on (`store`, `source`, …); back: what is not any more; empty for most.
    is_folded: a flood of them is folded in the log.
    """

    name: str
    own_name: str
    fields: tuple[str, ...]
    optional: frozenset[str]
    levels: tuple[Level, ...]
    to: Audience
    away: str
    back: str
    is_folded: bool

    def __call__(self, *args: P.args, **fields: P.kwargs) -> Fact:
        """A fact with these fields. A field that may be missing is left out where it is None."""
        given = {name: value for name, value in fields.items() if value is not None or name not in self.optional}
        return Fact(self.name, self.levels[0], given)

    def made(self, fact: Fact) -> bool:
        """Whether a fact is of this event."""
        return fact.name == self.name and fact.level in self.levels


def event(
    *levels: Level,
    to: Audience = Audience.NOBODY,
    name: str = "",
    away: str = "",
    back: str = "",
    is_folded: bool = False,
) -> Callable[[Callable[P, None]], Event[P]]:
    """Declare an event by the signature of its fields. name: where two events have one name in the log."""

    def declare(signature: Callable[P, None]) -> Event[P]:
        own_name, code = signature.__name__, signature.__code__
        fields, optional = code.co_varnames[: code.co_kwonlyargcount], frozenset(signature.__kwdefaults__ or ())
        return Event(name or own_name, own_name, fields, optional, levels, to, away, back, is_folded)

    return declare


class Listener(Protocol):
    """Who is told of every fact, in the thread that emits it."""

    def __call__(self, fact: Fact) -> None: ...


def plain(name: str, level: Level, *, at: float, fields: Mapping[str, object], longest: int) -> dict[str, object]:
    """A fact as logs and programs get it: when, on the wall clock, how grave, which, and the fields. Texts of more than
    `longest` characters end in a count of what is missing: an error's text may be a hundred megabytes.
    """
    known = {"timestamp": iso(at), "level": level.value, "event": name}
    return known | {key: _shortened(value, longest) for key, value in fields.items()}


def _shortened(value: object, longest: int) -> object:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str) and len(value) > longest:
        return f"{value[:longest]}… ({len(value) - longest} more characters)"
    return value
