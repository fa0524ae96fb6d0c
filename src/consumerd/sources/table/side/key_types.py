"""The types of a users' table's key, for the table of claims beside it. Runs in probes, and for users.

They are asked of the database itself, down to the collation: keys that are the same there are the same here.
"""

from __future__ import annotations

from sqlalchemy import Connection

from consumerd.database.sql import quoted_table, run, written
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.shape import find_content

_TYPES = {
    "mysql": """
SELECT column_name, concat(column_type, coalesce(concat(' CHARACTER SET ', character_set_name, ' COLLATE ',
collation_name), '')) FROM information_schema.columns
WHERE table_name = :table AND table_schema = coalesce(nullif(:schema, ''), database())""",
    "postgresql": """
SELECT a.attname, format_type(a.atttypid, a.atttypmod) || coalesce((
SELECT ' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(c.collname) FROM pg_collation AS c
JOIN pg_namespace AS n ON n.oid = c.collnamespace JOIN pg_type AS t ON t.oid = a.atttypid
WHERE c.oid = a.attcollation AND a.attcollation <> t.typcollation), '')
FROM pg_attribute AS a WHERE a.attrelid = CAST(:qualified AS regclass) AND a.attnum > 0 AND NOT a.attisdropped""",
    "sqlite": """
SELECT c.name, c.type || coalesce((SELECT ' COLLATE ' || nullif(x.coll, 'BINARY') FROM pragma_index_list(:table) AS l
JOIN pragma_index_xinfo(l.name) AS x WHERE l."unique" AND x.name = c.name AND x.key), '')
FROM pragma_table_info(:table) AS c""",
}
"""The columns of a table, and their types as a CREATE TABLE has them."""


def key_types_of(connection: Connection, options: TableOptions, place: str) -> list[str]:
    """The type of each column of the key, in SQL. SourceRefusedError where claims cannot stand beside the table."""
    find_content(connection, options, place)
    dialect = connection.dialect.name
    schema, _, table = options.table.rpartition(".") if options.is_server else ("", "", options.table)
    qualified = quoted_table(dialect, options.table)
    asked = written(_TYPES[dialect], {}, dialect, is_clock_given=False)
    rows = run(connection, asked, table=table, schema=schema, qualified=qualified).fetchall()
    types = {str(column).lower(): str(kind) for column, kind in rows}
    return [types[column.lower()] for column in options.id_column]
