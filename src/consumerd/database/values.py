"""Values that a driver cannot make an object of come as they are: one such row must not make a table unreadable."""

from __future__ import annotations

from typing import Any


def any_text(stored: bytes) -> str | bytes:
    """SQLite's text, which may be no UTF-8: the bytes, then."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def read_any_date(connection: Any) -> None:  # psycopg's
    """Have a connection of psycopg give the text of dates and times that Python has not, such as `infinity`."""
    from psycopg import DataError
    from psycopg.types import datetime as kinds

    def lenient(loader: Any) -> Any:  # a class of psycopg
        class Lenient(loader):  # type: ignore[misc]  # so is this one
            def load(self, data: Any) -> object:  # a buffer
                try:
                    return super().load(data)
                except DataError:
                    return bytes(data).decode()

        return Lenient

    for name, loader in (
        ("date", kinds.DateLoader),
        ("time", kinds.TimeLoader),
        ("timetz", kinds.TimetzLoader),
        ("timestamp", kinds.TimestampLoader),
        ("timestamptz", kinds.TimestamptzLoader),
        ("interval", kinds.IntervalLoader),
    ):
        connection.adapters.register_loader(name, lenient(loader))
