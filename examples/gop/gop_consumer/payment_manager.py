"""Payments, from their first day to their last: opened, settled once, reported. What the player paid is told the game
server by a row of `payment_notification`, made in the transaction that settles."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, text

from gop_consumer.channel_client import Status

_PAYMENT = text(
    "SELECT payment_id, app_id, channel, amount, status, said_since FROM payment WHERE payment_id = :payment_id"
)
_OPEN = text(
    "INSERT INTO payment (payment_id, app_id, account_id, channel, amount, status)"
    " VALUES (:payment_id, :app_id, :account_id, :channel, :amount, :status)"
)
_CHECK = text("INSERT INTO payment_check (payment_id, channel) VALUES (:payment_id, :channel)")
_SETTLE = text(
    "UPDATE payment SET status = :status, settled_by = :settled_by, settled_on = CURRENT_TIMESTAMP"
    " WHERE payment_id = :payment_id AND status IN ('pending', 'unknown')"
)
_NOTE = text(
    "UPDATE payment SET status = :status, said_since = :said_since"
    " WHERE payment_id = :payment_id AND status IN ('pending', 'unknown')"
)
_NOTIFY = text("INSERT INTO payment_notification (app_id, payment_id, body) VALUES (:app_id, :payment_id, :body)")
_CHECKS = text(
    "SELECT c.state, p.settled_by, count(*) AS number FROM payment_check c JOIN payment p USING (payment_id)"
    " GROUP BY c.state, p.settled_by"
)
_FAILED = text(
    "SELECT c.payment_id FROM payment_check c JOIN payment p USING (payment_id)"
    " WHERE c.state = 'dead' AND p.settled_by IS NULL ORDER BY c.payment_id"
)


@dataclass(frozen=True, slots=True)
class Payment:
    """said_since: since when the channel has said `status`, in Unix seconds; None where it has said nothing yet."""

    payment_id: int
    app_id: int
    channel: str
    amount: int
    status: Status
    said_since: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the payments that were asked about.

    found: all of them. mended: settled because somebody asked. by_callback: the channel told us first.
    still_open: asked again when their time comes. failed: the ids of those that nobody asks about any more.
    """

    found: int
    mended: int
    by_callback: int
    still_open: int
    failed: tuple[int, ...]


def open_payment(connection: Connection, payment: Payment, account_id: int) -> None:
    """A payment begins, and with it the asking, in the caller's transaction."""
    columns = {"payment_id": payment.payment_id, "app_id": payment.app_id, "channel": payment.channel}
    connection.execute(_OPEN, {**columns, "account_id": account_id, "amount": payment.amount, "status": payment.status})
    connection.execute(_CHECK, columns)


def get_payment(connection: Connection, payment_id: int) -> Payment | None:
    row = connection.execute(_PAYMENT, {"payment_id": payment_id}).one_or_none()
    if row is None:
        return None
    return Payment(row.payment_id, row.app_id, row.channel, row.amount, Status(row.status), row.said_since)


def settle(connection: Connection, payment: Payment, status: Status, by: str) -> bool:
    """Settle it, and have the game server told, in the caller's transaction; false where it was settled before.

    A callback of the channel and an answer to a question both come here: the first one counts, and all of it.
    """
    key = {"payment_id": payment.payment_id}
    if not connection.execute(_SETTLE, {**key, "status": status, "settled_by": by}).rowcount:
        return False
    data = {**key, "amount": payment.amount, "status": status}
    body = json.dumps({"type": "payment.settled", "data": data})
    connection.execute(_NOTIFY, {**key, "app_id": payment.app_id, "body": body})
    return True


def note_status(connection: Connection, payment: Payment, status: Status, said_since: float) -> None:
    """The channel says how it stands, and nothing final; it has said so since then, in Unix seconds."""
    key = {"payment_id": payment.payment_id}
    connection.execute(_NOTE, {**key, "status": status, "said_since": said_since})


def report(connection: Connection) -> Report:
    rows = connection.execute(_CHECKS).all()
    failed = tuple(connection.execute(_FAILED).scalars())
    return Report(
        found=sum(row.number for row in rows),
        mended=sum(row.number for row in rows if row.settled_by == "poll"),
        by_callback=sum(row.number for row in rows if row.settled_by == "callback"),
        still_open=sum(row.number for row in rows if row.settled_by is None) - len(failed),
        failed=failed,
    )
