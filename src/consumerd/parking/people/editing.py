"""Another record for a parked task, before it is tried again. One step within the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection, func, select, true, update

from consumerd.clock import wall
from consumerd.database.dialects import database_now, takes_unicode
from consumerd.model.parked import ParkedTask
from consumerd.parking.claims import read_tasks, write_parts
from consumerd.parking.parked import IS_SKIPPED
from consumerd.parking.records import key_of, parameters_of
from consumerd.parking.schema import PARKED

CONTENTS = ("payload", "key", "headers", "size_bytes", "parts")


def edit(connection: Connection, task: ParkedTask, payload: bytes, keep: Callable[[ParkedTask], object]) -> bool:
    """Give a waiting or dead task this payload; all else of it stays. False, and nothing is changed, where it is not
    there any more or a worker has it at this moment.

    keep: is called with the task as it was, before anything is changed. A claim that has run out is void then: what
    its worker still makes of the old record ends no task.
    """
    key = key_of(task.consumer, task.task_id)
    now = database_now(connection.dialect.name)
    is_free = func.coalesce(PARKED.c.lease_until <= now, true())
    row = connection.execute(select(PARKED.c.id).where(PARKED.c.id == key, IS_SKIPPED, is_free).with_for_update())
    if row.first() is None:
        return False
    (was,) = read_tasks(connection, [key])
    keep(was)
    edited = replace(was, payload=payload)
    columns = parameters_of(edited, wall(), is_unicode=takes_unicode(connection))
    contents = {name: columns[name] for name in CONTENTS} | {"lease_token": None, "lease_until": None}
    connection.execute(update(PARKED).where(PARKED.c.id == key).values(contents))
    write_parts(connection, {key: edited})
    return True
