"""When a user last used an app: one row for each platform, user and app."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from gop_consumer import database
from gop_consumer.database import Row

_INSERT = "INSERT INTO login_grant (platform, uid, app_id, last_use_time) VALUES (:platform, :uid, :app_id, :now)"
_KEEP_NEWEST = {
    "mysql": text(f"{_INSERT} ON DUPLICATE KEY UPDATE last_use_time = GREATEST(last_use_time, VALUES(last_use_time))"),
    "sqlite": text(
        f"{_INSERT} ON CONFLICT (platform, uid, app_id)"
        " DO UPDATE SET last_use_time = excluded.last_use_time WHERE last_use_time < excluded.last_use_time"
    ),
}
_GRANT = text("SELECT last_use_time FROM login_grant WHERE platform = :platform AND uid = :uid AND app_id = :app_id")


def update_grant_use_time(platform: int, uid: int, app_id: int, last_use_time: int) -> None:
    """Note a use at `last_use_time` (seconds since the epoch), unless a newer one is known.

    The newest wins whatever the order, and a second time changes nothing: a task that comes again does no harm.
    """
    use = {"platform": platform, "uid": uid, "app_id": app_id, "now": last_use_time}
    database.run(lambda connection: keep_newest(connection, [use]))


def keep_newest(connection: Connection, uses: Sequence[Row]) -> None:
    """Note many uses (platform, uid, app_id, now). On MariaDB that is one statement."""
    connection.execute(_KEEP_NEWEST[connection.dialect.name], uses)


def grant_use_time(platform: int, uid: int, app_id: int) -> int | None:
    """The newest use that is known, seconds since the epoch; None where there is none."""
    key = {"platform": platform, "uid": uid, "app_id": app_id}
    return database.run(lambda connection: connection.execute(_GRANT, key).scalar())
