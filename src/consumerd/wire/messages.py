"""The messages between the master and its children: one frozen dataclass each, one JSON object on the wire.

A message's `type` is its class's name in snake case. Both ends are equal versions of consumerd, or refuse.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Seated:
    """master → zygote: the first message, what it is to load. Settings travel as they are written, nothing resolved.

    consumer, settings: `ConsumerSettings` and `Settings` as JSON, for `model_validate_json`.
    directory: of the configuration, to which the `file:` references of `settings` are relative.
    member_prefix: `<id>.<group>.<name>`, to which a slot adds its number.
    """

    consumer: str
    settings: str
    directory: str
    state_dir: str
    member_prefix: str


@dataclass(frozen=True, slots=True)
class Fork:
    """master → zygote: fork a worker. Four descriptors travel with it: channel, board, slot lock, stderr.

    workers: how many the pool has; is_paused: it is to fetch nothing until it is told to; suspects: as `Suspects`.
    """

    slot: int
    generation: int
    workers: int
    is_paused: bool = False
    suspects: tuple[tuple[str, int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """master → zygote or worker: take no more, settle, leave by `deadline_s` on the machine's monotonic clock."""

    deadline_s: float


@dataclass(frozen=True, slots=True)
class Wake:
    """master → worker: look at the parking store now."""


@dataclass(frozen=True, slots=True)
class Amend:
    """master → zygote, then worker: the entry with other values of live keys, as `Seated.consumer`."""

    consumer: str


@dataclass(frozen=True, slots=True)
class Pause:
    """master → worker: fetch nothing more; or, `is_paused` false, fetch again. What is in hand is finished."""

    is_paused: bool


@dataclass(frozen=True, slots=True)
class Measure:
    """master → worker: measure the lag of the whole source, or no longer. The worker of slot 0 does so unasked."""

    is_wanted: bool


@dataclass(frozen=True, slots=True)
class Suspects:
    """master → worker: all tasks of the pool that were running when a worker died: (task id, crashes, how they ended).

    crashes: those that count; 0 where a task is only to be handled with care.
    """

    tasks: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, slots=True)
class Cleared:
    """worker → master: this task came to an end, or is parked; it is no suspect any more."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Hello:
    """zygote → master: executed, before any user code is imported."""

    version: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """zygote → master: the consumer's code is imported and its options hold up.

    remarks: what `check` names about this class, one sentence each.
    """

    source: str
    traits: dict[str, bool]
    remarks: tuple[str, ...] = ()
    live: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """zygote → master: the class cannot be loaded, or its options do not hold up."""

    reason: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Amended:
    """zygote → master: how it took an `Amend`. failed: why it did not, and goes on as before; or None."""

    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Forked:
    """zygote → master: the worker runs. Its pidfd travels with it."""

    slot: int
    generation: int
    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    """zygote → master: the worker is reaped. `status` is the wait status."""

    slot: int
    pid: int
    status: int


@dataclass(frozen=True, slots=True)
class Ready:
    """worker → master: signal handlers stand, the source is open, the loop begins."""


@dataclass(frozen=True, slots=True)
class Reported:
    """worker → master: a fact that concerns the pool: the store or source went away or came back, the last error."""

    name: str
    level: str
    fields: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lag:
    """worker → master: (shard, tasks, oldest_s, position) of every shard, from the worker whose duty it is.

    Whoever shows the lag shows its age: while no worker is in its loop nobody measures.
    """

    shards: tuple[tuple[int, int, float | None, int], ...]


@dataclass(frozen=True, slots=True)
class Serve:
    """master → store helper: the first message. It is executed as `python -m consumerd.store.helper FD`, FD its end
    of the channel (`wire.inherited` reads it), and leaves when the channel ends.

    settings: `Settings` as JSON, nothing resolved; directory: of the configuration, to which its `file:` references
    are relative.
    """

    settings: str
    directory: str
    state_dir: str


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """master → store helper: one verb on parked tasks, with its arguments."""

    request: int
    verb: str
    arguments: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoreResult:
    """store helper → master: one page of a result; `is_last` ends it. `failed` is one sentence, or None."""

    request: int
    items: tuple[dict[str, object], ...] = ()
    is_last: bool = True
    failed: str | None = None


Message = (
    Seated
    | Fork
    | Stop
    | Wake
    | Amend
    | Pause
    | Measure
    | Suspects
    | Cleared
    | Hello
    | Loaded
    | LoadFailed
    | Amended
    | Forked
    | Exited
    | Ready
    | Reported
    | Lag
    | Serve
    | StoreRequest
    | StoreResult
)
