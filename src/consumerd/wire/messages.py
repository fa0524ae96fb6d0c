"""The messages between the master and its children: one class each, a JSON object on a line (`wire.json_text`).

A message's `type` is its class's name. Both ends are equal versions of consumerd, or refuse.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from functools import cache, reduce
from typing import Any

import msgspec

from consumerd.errors import WireError
from consumerd.model.suspects import Suspect
from consumerd.wire.schedules import ScheduleStatus


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=True):
    """What every message is."""


class Assignment(Message, frozen=True):
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


class Fork(Message, frozen=True):
    """master → zygote: fork a worker. Five descriptors travel with it: channel, board, slot lock, stderr,
    the shared table.

    workers: how many the pool has; is_paused: it is to fetch nothing until it is told to; suspects: as `Suspects`;
    is_wary: the worker before it left because nothing answered its tasks; holder: its number in the shared table.
    """

    slot: int
    generation: int
    workers: int
    is_paused: bool = False
    suspects: tuple[Suspect, ...] = ()
    is_wary: bool = False
    holder: int | None = None


class Stop(Message, frozen=True):
    """master → zygote or worker: take no more, settle, leave by `deadline_s` on the machine's monotonic clock.

    is_last: no other worker takes the slot over.
    """

    deadline_s: float
    is_last: bool = False


class Wake(Message, frozen=True):
    """master → worker: look now whether there are tasks, in the parking store and, where it is asked, in the source."""


class Amend(Message, frozen=True):
    """master → zygote, then worker: the entry with other values of live keys, as `Assignment.consumer`."""

    consumer: str


class Pause(Message, frozen=True):
    """master → worker: fetch nothing more; or, `is_paused` false, fetch again. What is in hand is finished."""

    is_paused: bool


class CancelTask(Message, frozen=True):
    """master → worker: end the attempt in this lane, if that is still on this task. Nothing is wrong where it is not.

    busy_since_ns, cursor: as its board has them. does_park: the task is parked as dead; else it is tried again.
    """

    lane: int
    busy_since_ns: int
    cursor: int
    does_park: bool


class Measure(Message, frozen=True):
    """master → worker: measure the lag of the whole source, or no longer."""

    is_wanted: bool


class Suspects(Message, frozen=True):
    """master → worker: all tasks of the pool that were running when a worker died."""

    tasks: tuple[Suspect, ...]


class Cleared(Message, frozen=True):
    """worker → master: this task came to an end, or is parked; it is no suspect any more."""

    task_id: str


class Hello(Message, frozen=True):
    """zygote → master: executed, before any user code is imported."""

    version: str


class Loaded(Message, frozen=True):
    """zygote → master: the consumer's code is imported and its options hold up.

    remarks: what `check` names about this class, one sentence each.
    """

    source: str
    traits: dict[str, bool]
    remarks: tuple[str, ...] = ()
    live: tuple[str, ...] = ()


class LoadFailed(Message, frozen=True):
    """zygote → master: the class cannot be loaded, or its options do not hold up."""

    reason: str
    traceback: str = ""


class Amended(Message, frozen=True):
    """zygote → master: how it took an `Amend`. failed: why it did not, and goes on as before; or None."""

    failed: str | None = None


class Forked(Message, frozen=True):
    """zygote → master: the worker runs. Its pidfd travels with it."""

    slot: int
    generation: int
    pid: int


class NotForked(Message, frozen=True):
    """zygote → master: the system refused the worker that a `Fork` asked for; why, as a sentence."""

    slot: int
    generation: int
    error: str


class Exited(Message, frozen=True):
    """zygote → master: the worker is reaped. `status` is the wait status; None where somebody else has taken it."""

    slot: int
    pid: int
    status: int | None


class Ready(Message, frozen=True):
    """worker → master: signal handlers stand, the source is open, the loop begins."""


class Reported(Message, frozen=True):
    """worker → master: a fact that concerns the pool: the store or source went away or came back, the last error."""

    name: str
    level: str
    fields: dict[str, object] = {}


class Lag(Message, frozen=True):
    """worker → master: (shard, tasks, oldest_s, position) of every shard, from the worker whose duty it is.

    The others are as `ShardLag` has them, of all shards together. complaints: sentences on tasks that nobody can take.
    Whoever shows the lag shows its age: while no worker is in its loop nobody measures.
    """

    shards: tuple[tuple[int, int, float | None, int], ...]
    later: int = 0
    complaints: tuple[str, ...] = ()
    blocked: frozenset[int] = frozenset()
    clock_ahead_s: float | None = None


class ParkedNow(Message, frozen=True):
    """worker → master: how many tasks of its consumer are parked, whose duty that is as for the lag."""

    waiting: int
    dead: int


class Scheduled(Message, frozen=True):
    """worker → master: how its schedule stands, from the worker that measures the lag, when that has changed."""

    schedule: ScheduleStatus


STORE_HELPER = "consumerd.verbs.parked.helper"
"""The module that is executed as the store helper."""


MAKE_RUNS = "run-now"
"""What the store helper is asked to do for `consumers`, besides the methods of `consumerd parked`."""


class Serve(Message, frozen=True):
    """master → store helper: the first message. It is executed as `python -m consumerd.verbs.parked.helper FD`, FD its
    end of the channel (`wire.inherited` reads it), and leaves when the channel ends.

    settings: `Settings` as JSON, nothing resolved; directory: of the configuration, to which its `file:` references
    are relative.
    """

    settings: str
    directory: str
    state_dir: str


class HelpLimits(Message, frozen=True):
    """master → helper of limits: the first message, as `Serve`, with the shared table. It tells facts as `Reported`.

    host: the id of this host among those that share the parking store. longest_stop_s: so long tasks of any consumer
    may run on once the master is gone.
    """

    settings: str
    directory: str
    state_dir: str
    host: str
    longest_stop_s: float


class ServeDashboard(Message, frozen=True):
    """master → dashboard: the first message, as `Serve`. settings: of `[consumerd.dashboard]`, as JSON."""

    settings: str
    directory: str
    state_dir: str


class Leave(Message, frozen=True):
    """master → helper of limits: no task runs here any more, other hosts may have our part of all limits."""


class StoreRequest(Message, frozen=True):
    """master → store helper: a method of `consumerd parked`, with its parameters.

    consumers: those that are run by whoever asks; None where nobody knows.
    """

    method: str
    parameters: dict[str, object] = {}
    consumers: tuple[str, ...] | None = None


class StoreResult(Message, frozen=True):
    """store helper → master: one page of an answer; `is_last` ends it. `failed` is one sentence, or None.

    is_misuse: it failed for what was asked: the command that asks ends as one that was used wrongly.
    """

    items: tuple[dict[str, object], ...] = ()
    is_last: bool = True
    failed: str | None = None
    is_misuse: bool = False


def to_plain(message: Message) -> dict[str, object]:
    """A message as an object for `json_text.encode`. WireError where a value of it has no end."""
    try:
        plain: dict[str, object] = msgspec.to_builtins(message, builtin_types=(bytes,))
    except (RecursionError, TypeError) as error:
        raise WireError(f"a {type(message).__name__} cannot be sent: {error}") from error
    return plain


def from_plain(plain: Mapping[str, object]) -> Message:
    """The message that an object stands for. WireError where its type is unknown, or a field is not as it is."""
    try:
        message: Message = msgspec.convert(plain, _any_message())
    except (msgspec.ValidationError, RecursionError) as error:
        raise WireError(
            f"a message is not understood ({error}): restart the master, its processes must be of one version"
        ) from error
    return message


@cache
def _any_message() -> Any:  # a union of types, as msgspec takes it
    return reduce(operator.or_, Message.__subclasses__())
