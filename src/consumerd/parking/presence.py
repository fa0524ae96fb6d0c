"""Whether anything of a consumer is parked at all, asked of the driver alone. Mostly nothing is.

An idle worker that only wants to know that must not pay for the store's machinery: using SQLAlchemy costs five
megabytes of memory of its own, in each worker, that were shared with its zygote until then.

Each function returns true only where it is certain that nothing is parked. Where the answer is false because something
is wrong, the store itself says what, to whoever asks it next.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL

from consumerd.database.causes import is_of_no_table
from consumerd.database.urls import connect_arguments

PATIENCE_S = 0.2

_QUERY = "SELECT 1 FROM parked WHERE consumer = {} LIMIT 1"


def has_nothing_in_file(path: Path, consumer: str) -> bool:
    """Whether there is no file yet, or no row of this consumer in it."""
    if not path.exists():
        return path.parent.is_dir()
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", timeout=PATIENCE_S, uri=True)) as database:
            return database.execute(_QUERY.format("?"), (consumer,)).fetchone() is None
    except sqlite3.Error:
        return False


def has_nothing_on_server(url: URL, consumer: str) -> bool:
    """Whether there is no table yet, or no row of this consumer in it. It may take long. url: names its driver."""
    driver = url.get_dialect().import_dbapi()
    arguments, asked = url.get_dialect()().create_connect_args(url)
    try:
        with closing(driver.connect(*arguments, **{**asked, **connect_arguments(url)})) as connection:
            cursor = connection.cursor()
            cursor.execute(_QUERY.format("%s"), (consumer,))
            return cursor.fetchone() is None
    except (driver.Error, RuntimeError) as error:  # the latter: a login that needs a package which is not installed
        return is_of_no_table(error)
