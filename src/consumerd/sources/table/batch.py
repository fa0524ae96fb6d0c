"""A claim: the rows that one worker took in one transaction, under one token. Runs in workers and the foreground."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from consumerd.model.task import Task, TaskId
from consumerd.sources.identities import in_order, text_of

Raw = tuple[int, Any, bytes, int, float | None]
"""(index in the batch, id of whatever type the table has, payload, attempts, first attempt)"""

_id_of = operator.itemgetter(1)


class TableBatch:
    """Claimed rows.

    token: of the claim.
    leased_at: when the lease began, or was renewed last, on the monotonic clock.
    unsettled: how many rows are not settled durably.
    is_lost: others have taken some.
    """

    shard = 0
    offset: Callable[[Raw], int] = staticmethod(operator.itemgetter(0))
    payload: Callable[[Raw], bytes] = staticmethod(operator.itemgetter(2))

    def __init__(self, table: str, token: str, raws: Sequence[Raw], decode: Callable[[bytes], object]) -> None:
        self.raws = raws
        self.decode = decode
        self.token = token
        self.leased_at = 0.0
        self.unsettled = len(raws)
        self.is_lost = False
        self._table = table

    def task(self, index: int) -> Task:
        offset, row_id, payload, attempts, first_at = self.raws[index]
        return Task(
            id=TaskId(f"{self._table}:{text_of(row_id)}"),
            offset=offset,
            source=self._table,
            shard=self.shard,
            position=0,
            payload=payload,
            attempts=attempts,
            first_at=first_at,
        )

    def identities(self) -> bytes:
        """A task is its row, by the table's id."""
        return in_order(f"{self._table}:", map(_id_of, self.raws))

    def keys(self, start: int, stop: int) -> Iterable[object]:
        """The ids of these rows."""
        return map(_id_of, self.raws[start:stop])
