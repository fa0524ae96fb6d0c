"""The transactions in which handlers write, and in which their rows are settled. Runs in workers and the foreground.

The row is the fence: what settles it must find its token, or of a dead row its state, and else all is rolled back. So
an effect is there if, and only if, its row is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection

from consumerd import events
from consumerd.database.lock import FileLock
from consumerd.errors import CommitUnknownError, TaskLostError
from consumerd.model.task import Task, TaskId
from consumerd.sources.contract import SourceContext
from consumerd.sources.table.batch import TableBatch
from consumerd.sources.table.settling import Settling
from consumerd.sources.transactions import Transactions


class RowTransactions:
    """Of the tasks that one worker has in hand. A block runs in its handler's thread; all else is the loop's thread."""

    def __init__(
        self,
        context: SourceContext,
        settling: Settling,
        live: Callable[[], Sequence[TableBatch]],
        keeps: Callable[[TableBatch], bool],
        lock: FileLock | None,
    ) -> None:
        """live: the batches in hand. keeps: whether a batch is this worker's. lock: of a file, for its writers."""
        self._context = context
        self._settling = settling
        self._live = live
        self._keeps = keeps
        self._transactions = Transactions(context.engine, lock)
        self._resolved: set[TaskId] = set()

    def of(self, task: Task, keys: Callable[[TaskId], Sequence[object]]) -> AbstractContextManager[Connection]:
        """The transaction of a claimed row, or of a dead one whose parked copy is tried again.

        keys: those that the id of a dead row may mean.
        """
        batch = self._batch_of(task)
        if batch is None:
            assert task.id is not None
            return self._of_dead(task.id, keys(task.id))
        return self._of_claimed(batch, task.offset)

    def have_settled(self, task: Task) -> bool:
        """Whether the task is done by a transaction that was committed."""
        batch = self._batch_of(task)
        return task.id in self._resolved if batch is None else batch.apart.get(task.offset, False)

    def forget(self, task_id: TaskId) -> None:
        """What is said of a dead row from now on is of another attempt."""
        self._resolved.discard(task_id)

    def _batch_of(self, task: Task) -> TableBatch | None:
        """The newest in which the task is in hand: a row of which a claim was lost may be in an older one as well."""
        return next((each for each in reversed(self._live()) if each.has(task)), None)

    @contextmanager
    def _of_claimed(self, batch: TableBatch, index: int) -> Iterator[Connection]:
        if batch.apart.get(index):
            raise RuntimeError("the task is done already, with its first self.transaction(): write all in that one")

        def settle(connection: Connection) -> None:
            batch.apart[index] = False  # before the row changes: whoever renews the claim would miss it
            if not self._settling.settle_done(connection, batch, index):
                raise _lost(batch.id_of(index))

        try:
            if not self._keeps(batch):
                raise _lost(batch.id_of(index))
            with self._transactions.begin(settle) as connection:
                yield connection
        except (TaskLostError, CommitUnknownError) as error:
            self._give_up(batch, index, error)
            raise
        except BaseException:
            batch.apart.pop(index, None)
            raise
        batch.apart[index] = True

    def _give_up(self, batch: TableBatch, index: int, error: TaskLostError | CommitUnknownError) -> None:
        """Leave the batch. What still has its token goes back: the row itself, if nothing was committed."""
        batch.apart[index], batch.is_lost = False, True
        self._context.worker.interrupt()
        if isinstance(error, TaskLostError):
            then = "another worker has it by now, or it was changed or deleted; what its handler wrote is rolled back"
            self._context.emit(events.lease_lost(task=batch.id_of(index), then=then))
        else:
            self._context.emit(events.settling_failed(error=f"{error}; its row tells", unsettled=batch.unsettled))

    @contextmanager
    def _of_dead(self, task_id: TaskId, keys: Sequence[object]) -> Iterator[Connection]:
        def settle(connection: Connection) -> None:
            if not self._settling.resolve(connection, keys):
                raise TaskLostError(
                    f"the row {task_id} is not dead any more, and what its handler wrote is rolled back: it was done, "
                    "set back or deleted; a further retry drops its parked copy"
                )

        with self._transactions.begin(settle) as connection:
            yield connection
        self._resolved.add(task_id)


def _lost(task_id: TaskId) -> TaskLostError:
    return TaskLostError(f"the row {task_id} is not this worker's any more, and what its handler wrote is rolled back")
