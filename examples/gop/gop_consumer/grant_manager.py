"""When a user last used an app: one row for each platform, user and app."""

from __future__ import annotations

from gop_consumer.database import database

_KEEP_NEWEST = """
INSERT INTO login_grant (platform, uid, app_id, last_use_time) VALUES (%s, %s, %s, %s)
ON DUPLICATE KEY UPDATE last_use_time = GREATEST(last_use_time, VALUES(last_use_time))
"""

_GRANT = "SELECT last_use_time FROM login_grant WHERE platform = %s AND uid = %s AND app_id = %s"


def update_grant_use_time(platform: int, uid: int, app_id: int, last_use_time: int) -> None:
    """Note a use at `last_use_time` (seconds since the epoch), unless a newer one is known.

    The newest wins whatever the order, and a second time changes nothing: a task that comes again does no harm.
    """
    database.execute(_KEEP_NEWEST, (platform, uid, app_id, last_use_time))


def grant_use_time(platform: int, uid: int, app_id: int) -> int | None:
    """The newest use that is known, seconds since the epoch; None where there is none."""
    rows = database.select(_GRANT, (platform, uid, app_id))
    return rows[0]["last_use_time"] if rows else None
