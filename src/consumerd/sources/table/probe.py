"""A look at a claimed table that changes nothing: no claim, no lock, no file. Runs in probes and zygotes' checks."""

from __future__ import annotations

from urllib.parse import quote

from sqlalchemy import URL, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from consumerd.clock import wall
from consumerd.database.causes import cause_of
from consumerd.errors import SourceRefusedError
from consumerd.sources.contract import ShardLag
from consumerd.sources.table.lag import measure
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import check_table
from consumerd.sources.table.statements import statements_for
from consumerd.sources.table.unclaimable import UnclaimableRows

MOST_LOOKS = 20
"""A million rows are looked at for some that can never be claimed; more would take too long."""


def probe(options: TableOptions) -> tuple[ShardLag, ...]:
    """The lag of the table. SourceRefusedError where it cannot be read, or is not such a table."""
    if not options.path.exists():
        raise SourceRefusedError(f"there is no database {options.path}: make it, or correct `database`")
    url = URL.create(
        "sqlite+pysqlite", database=f"file:{quote(str(options.path))}", query={"mode": "ro", "uri": "true"}
    )
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            check_table(connection, options)
            sql, now = statements_for(options), wall()
            unclaimable = UnclaimableRows(options.table, sql)
            for _ in range(MOST_LOOKS):
                if not unclaimable.look(connection, now):
                    break
            return (measure(connection, sql, unclaimable, now),)
    except DBAPIError as error:
        raise SourceRefusedError(f"the database {options.path} cannot be read: {cause_of(error)}") from error
    finally:
        engine.dispose()
