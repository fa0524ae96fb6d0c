"""What a claimed table lacks, found in its database, and made where that is wanted. Runs in probes, and for users."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from consumerd.clock import SYSTEM_CLOCK
from consumerd.database.causes import cause_of, is_name_taken, may_pass
from consumerd.errors import SourceAwayError, SourceRefusedError
from consumerd.sources.change import Change
from consumerd.sources.table.found import FoundTable
from consumerd.sources.table.opening import Opening, connected
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema.ddl import Ddl
from consumerd.sources.table.schema.rights import check_rights
from consumerd.sources.table.schema.serving import unserved
from consumerd.sources.table.shape import find_shape
from consumerd.sources.table.side.key_types import key_types_of

LOCK_WAIT_S = 5

_WAITS = {
    "mysql": f"SET SESSION lock_wait_timeout = {LOCK_WAIT_S}",
    "postgresql": f"SET lock_timeout = '{LOCK_WAIT_S}s'",
}
"""Whoever waits for a table's lock holds up all who come later: not for long."""
_WAITS_BESIDE = "SET lock_timeout = 0"
"""PostgreSQL: what is made beside the others' work holds up nobody, and waits for all transactions before it."""

_AS_IT_IS = {"no_parameters": True}
"""A `%` begins no placeholder."""


def changes(options: TableOptions, *, is_made: bool) -> tuple[Change, ...]:
    """What the table lacks, as statements in the order in which they are to be run. is_made: run them.

    SourceRefusedError where something is wrong that no statement mends, or that a person has to decide: then nothing is
    made. Or where the database does not take a statement: those before it are made. SourceAwayError where it is away.
    """
    opening = Opening(options)
    if not options.is_server and not options.path.exists() and not is_made:
        return tuple(Ddl(options, "sqlite", SYSTEM_CLOCK.wall()).create())
    try:
        if is_made and not options.is_server:
            return make_in_file(opening, options, is_created=not options.path.exists())
        with connected(options) as connection:
            found = tuple(missing(connection, options, opening.place))
        if is_made:
            with connected(options, is_patient=True) as connection:
                make(connection, found)
        return found
    except (DBAPIError, sqlite3.Error) as error:
        kind = SourceAwayError if may_pass(error) else SourceRefusedError
        raise kind(f"the {opening.place} does not take it: {cause_of(error)}") from error


def missing(connection: Connection, options: TableOptions, place: str) -> Iterator[Change]:
    """What the table lacks. To be called in a transaction that is used for nothing else."""
    ddl = Ddl(options, connection.dialect.name, SYSTEM_CLOCK.wall())
    name = options.claimed_table
    key_types = key_types_of(connection, options, place) if options.is_beside else ()
    try:
        table = FoundTable(connection, options, name, place, "")
    except SourceRefusedError:
        yield from ddl.create_beside(key_types) if key_types else ddl.create()
        if key_types and options.done_table is not None and not _is_there(connection, options, options.done_table):
            yield ddl.add_done_table(options.done_table)
        return
    if lacking := table.lacks(options.needed_columns):
        yield from ddl.add_columns(lacking, has_rows=_has_rows(connection, ddl))
    is_unique = table.is_unique(options.id_column)
    if not is_unique:
        yield ddl.add_key(f"{name} has no unique index on {', '.join(options.id_column)}, its key")
    if options.done_table is not None and not _is_there(connection, options, options.done_table):
        yield ddl.add_done_table(options.done_table)
        options = options.model_copy(update={"done": "keep", "done_table": None})  # what can be seen without it
    lacking_turns = [columns for columns in options.indexes[1:] if not table.index_beginning(*columns)]
    for columns in lacking_turns:
        yield ddl.add_turn_index(columns, f"{name} has no index by which rows take turns")
    unserving = f"no index serves the claims on {name}"
    if lacking or not is_unique or lacking_turns:  # there can be no claims yet
        if not table.index_beginning(*options.indexes[0]):
            yield ddl.add_index(unserving)
        return
    shape = find_shape(connection, options, place)
    check_rights(connection, options, shape)
    if plan := unserved(connection, options, table, shape):
        yield ddl.add_index(f"{unserving}, and each reads more rows than it takes ({plan})")


def make_in_file(opening: Opening, options: TableOptions, *, is_created: bool) -> tuple[Change, ...]:
    """Make what the table lacks in a SQLite file, in one transaction. is_created: the file, too."""
    database = opening.database(is_created=is_created)

    def step(connection: Connection) -> tuple[Change, ...]:
        found = tuple(missing(connection, options, opening.place))
        make(connection, found)
        return found

    try:
        return database.write(step)
    finally:
        database.close()
        opening.close()


def make(connection: Connection, found: Sequence[Change]) -> None:
    """Run these statements. SourceRefusedError, and none is run, where one is for a person to decide."""
    if yours := [change for change in found if change.is_yours]:
        raise SourceRefusedError(f"{yours[0].why}, and {yours[0].caution}: run the statements yourself")
    waits = _WAITS.get(connection.dialect.name)
    for change in found:
        if waits:
            is_beside = " CONCURRENTLY " in change.statement
            connection.exec_driver_sql(_WAITS_BESIDE if is_beside else waits)
        try:
            connection.exec_driver_sql(change.statement, execution_options=_AS_IT_IS)
        except DBAPIError as error:
            if not is_name_taken(error):
                raise
            raise SourceRefusedError(f"{change.why}, and its statement is refused: {cause_of(error)}") from error


def _is_there(connection: Connection, options: TableOptions, name: str) -> bool:
    schema, _, table = name.rpartition(".") if options.is_server else ("", "", name)
    return inspect(connection).has_table(table, schema=schema or None)


def _has_rows(connection: Connection, ddl: Ddl) -> bool:
    statement = f"SELECT 1 FROM {ddl.table} LIMIT 1"
    return connection.exec_driver_sql(statement, execution_options=_AS_IT_IS).first() is not None
