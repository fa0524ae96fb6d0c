"""GOP's database, for code to which nobody hands a connection: one engine a process, opened when it is first needed.

The address is a URL in the environment variable GOP_DATABASE: `mysql+pymysql://user:password@host:port/database`, or
`sqlite:///FILE`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

Row = dict[str, Any]  # a row's columns have any type
ResultT = TypeVar("ResultT")

ADDRESS_VARIABLE = "GOP_DATABASE"
STALE_AFTER_S = 60
TRIES = 5
PAUSE_S = 0.02
TRY_AGAIN_CODES = (1205, 1213)  # lock wait timeout, deadlock: the server's way of saying "once more, please"
_OF_SERVER = {
    "charset": "utf8mb4",
    "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "connect_timeout": 10,
    "read_timeout": 30,
    "write_timeout": 30,
}


def run(work: Callable[[Connection], ResultT]) -> ResultT:
    """Call `work` with a connection in autocommit, again where the server asks for it: let it run one statement."""
    for tries_left in reversed(range(TRIES)):
        try:
            with engine().execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                return work(connection)
        except OperationalError as error:
            if getattr(error.orig, "args", ("",))[0] not in TRY_AGAIN_CODES or not tries_left:
                raise
            time.sleep(PAUSE_S * (TRIES - tries_left))
    raise AssertionError("the last try returns or raises")


def engine() -> Engine:
    """The engine of this process: one that was forked never touches the connection of its parent."""
    return _engine(os.environ[ADDRESS_VARIABLE], os.getpid())


def refresh_db_connections() -> None:
    """What the post calls before each task: the pool does it, by opening a connection anew after a minute."""


@cache
def _engine(address: str, owner_pid: int) -> Engine:
    del owner_pid
    url = make_url(address)
    return create_engine(
        url,
        pool_recycle=STALE_AFTER_S,
        skip_autocommit_rollback=True,  # there would be nothing to roll back, and it costs a round trip
        connect_args={"timeout": 10} if url.get_backend_name() == "sqlite" else _OF_SERVER,
    )
