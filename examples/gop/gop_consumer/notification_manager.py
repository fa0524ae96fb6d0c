"""What GOP tells the game servers of payments: who wants it where, how a delivery went, and starting again.

Nothing here knows when the next try is: that stands in the row, as `due_at`, once consumerd has put it off.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, text

from gop_consumer import webhook
from gop_consumer.database import Row
from gop_consumer.webhook import Answer

_WEBHOOK = text("SELECT app_id, url, secret, previous_secret, gone_at FROM webhook WHERE app_id = :app_id")
_GONE = text("UPDATE webhook SET gone_at = CURRENT_TIMESTAMP WHERE app_id = :app_id AND url = :url AND gone_at IS NULL")
_BACK = text("UPDATE webhook SET gone_at = NULL, url = COALESCE(:url, url) WHERE app_id = :app_id")
_LOG = text(
    "INSERT INTO notification_attempt (notification_id, app_id, attempt, status, latency_ms, error)"
    " VALUES (:notification_id, :app_id, :attempt, :status, :latency_ms, :error)"
)
_ATTEMPTS = text(
    "SELECT attempt, attempted_at, status, latency_ms, error FROM notification_attempt"
    " WHERE notification_id = :id ORDER BY id"
)
_STANDING = text("SELECT state, due_at FROM payment_notification WHERE id = :id")
LONGEST_ERROR = 255


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where an app takes notifications. secrets: one, or two while it is changed; is_gone: it has answered 410."""

    app_id: int
    url: str
    secrets: tuple[str, ...]
    is_gone: bool


def get_webhook(connection: Connection, app_id: int) -> Webhook | None:
    """The webhook of an app; None where it has none."""
    row = connection.execute(_WEBHOOK, {"app_id": app_id}).one_or_none()
    if row is None:
        return None
    secrets = tuple(secret for secret in (row.secret, row.previous_secret) if secret)
    return Webhook(row.app_id, row.url, secrets, row.gone_at is not None)


def deliver(hook: Webhook, notification_id: int, body: bytes, *, timeout_s: float) -> Answer:
    """Send one notification once. Its id stays the same over all tries, so that the receiver can tell."""
    headers = webhook.signed_headers(hook.secrets, f"ntf_{notification_id}", int(time.time()), body)
    return webhook.post(hook.url, body, headers, timeout_s)


def note_attempt(connection: Connection, hook: Webhook, notification_id: int, attempt: int, answer: Answer) -> None:
    """Write down how it went, and that an endpoint is gone."""
    entry = {
        "notification_id": notification_id,
        "app_id": hook.app_id,
        "attempt": attempt,
        "status": answer.status,
        "latency_ms": round(answer.latency_s * 1000),
        "error": answer.error[:LONGEST_ERROR] or None,
    }
    connection.execute(_LOG, entry)
    if answer.status == 410:
        connection.execute(_GONE, {"app_id": hook.app_id, "url": hook.url})


def bring_back(connection: Connection, app_id: int, url: str | None = None) -> bool:
    """Send to the app again, at a new URL where one is given; false where no app has that id."""
    return connection.execute(_BACK, {"app_id": app_id, "url": url}).rowcount > 0


def attempts_of(connection: Connection, notification_id: int) -> tuple[list[Row], Row | None]:
    """The attempts so far, and how the notification stands: its state, and from when on it is tried next."""
    attempts = [dict(row) for row in connection.execute(_ATTEMPTS, {"id": notification_id}).mappings()]
    standing = connection.execute(_STANDING, {"id": notification_id}).mappings().one_or_none()
    return attempts, None if standing is None else dict(standing)
