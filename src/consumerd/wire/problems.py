"""Why a pool is not healthy: a sentence for people, and of which kind it is, for whoever decides by it."""

from __future__ import annotations

from enum import StrEnum, auto

from msgspec import Struct


class ProblemKind(StrEnum):
    """What a problem of a pool is of: its sentence may be worded anew in any version, and its kind keeps its name.

    NEEDS_AWAY: what all its tasks need does not answer. ALL_FAIL: all its tasks die of one error.
    DESTINATION_HELD: somebody has opened it by hand. DIES_UNPROVEN: workers die before they can do anything.
    UNSETTLED: the database refuses to settle rows that were handled.
    SOURCE_SILENT: the source has not answered a worker yet. SHARD_STALLED: tasks wait, and none comes to any worker.
    """

    FAILED = auto()
    NOT_UP = auto()
    IMPORT_HANGS = auto()
    PROCESS_REFUSED = auto()
    SOURCE_AWAY = auto()
    STORE_AWAY = auto()
    NEEDS_AWAY = auto()
    ALL_FAIL = auto()
    STARVED = auto()
    UNSETTLED = auto()
    TASK_UNSTORABLE = auto()
    CHANGE_TAKEN_BACK = auto()
    DESTINATION_OPEN = auto()
    DESTINATION_HELD = auto()
    PAUSED_AND_BEHIND = auto()
    THROTTLE_AT_FAULT = auto()
    DIES_UNPROVEN = auto()
    SOURCE_SILENT = auto()
    FAILURES_IN_A_ROW = auto()
    WORKER_STALLED = auto()
    SHARD_STALLED = auto()
    ROWS_UNCLAIMABLE = auto()
    TOO_FEW_UP = auto()


class PoolProblem(Struct, frozen=True):
    """One reason why a pool is not healthy. about: the destination that it is about; empty: the pool."""

    kind: ProblemKind
    sentence: str
    about: str = ""
