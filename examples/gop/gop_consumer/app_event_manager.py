"""The events that GOP owes to its apps, and where each app wants them.

An event is *fresh* until it was delivered (*sent*). One whose delivery failed is *failed*: consumerd keeps it from then
on, tries it again when it is due, and the query leaves it out.
"""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass

from sqlalchemy import text

from gop_consumer import database
from gop_consumer.database import Row

_APP = text("SELECT app_id, endpoint FROM app WHERE app_id = :app_id")
_FRESH = text(
    "SELECT id, app_id, name, body, created_at FROM app_event"
    " WHERE app_id = :app_id AND state = 'fresh' ORDER BY id LIMIT :threshold"
)
_SENT = text("UPDATE app_event SET state = 'sent' WHERE id = :id")
_FAILED = text("UPDATE app_event SET state = 'failed' WHERE id = :id AND state = 'fresh'")


class UnknownAppError(LookupError):
    """No app has this id."""


@dataclass(frozen=True, slots=True)
class App:
    """One app of the platform; `endpoint` is the URL that takes its events."""

    app_id: int
    endpoint: str


def get_app(app_id: int) -> App:
    """The app with this id; UnknownAppError where there is none."""
    row = database.run(lambda connection: connection.execute(_APP, {"app_id": app_id}).one_or_none())
    if row is None:
        raise UnknownAppError(f"no app has the id {app_id}: add it to the table app")
    return App(row.app_id, row.endpoint)


def get_fresh_event_by_app_id(app_id: int, threshold: int) -> list[Row]:
    """The oldest events of an app that nobody has tried yet, at most `threshold` of them."""
    wanted = {"app_id": app_id, "threshold": threshold}
    return database.run(lambda connection: [dict(row) for row in connection.execute(_FRESH, wanted).mappings()])


def post_event(app: App, event: Row, *, timeout: float) -> None:
    """Deliver an event over HTTP; what does not answer 2xx within `timeout` seconds raises OSError."""
    message = {"id": event["id"], "name": event["name"], "body": event["body"]}
    request = urllib.request.Request(
        app.endpoint,
        data=json.dumps(message).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        answer.read()


def mark_sent(event_id: int) -> None:
    """The app has the event."""
    database.run(lambda connection: connection.execute(_SENT, {"id": event_id}))


def mark_failed(event_id: int) -> None:
    """The event could not be delivered so far, and is kept elsewhere."""
    database.run(lambda connection: connection.execute(_FAILED, {"id": event_id}))
