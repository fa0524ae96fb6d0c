"""Tells the game servers of payments, by signed webhooks."""

from __future__ import annotations

from pydantic import BaseModel

from consumerd import Dead, Retry, TableBaseConsumer
from gop_consumer import notification_manager
from gop_consumer.webhook import Answer


class DeliveryFailedError(Exception):
    """The game server has not taken it: it is tried again by the back-off of `configs`."""


class AppAwayError(DeliveryFailedError):
    """It does not answer, or answers 5xx: others would fare no better, so this is what `breaker` counts."""


class Notification(BaseModel):
    """The columns of `payment_notification` that are needed; `body` is JSON, sent and signed as it stands."""

    id: int
    app_id: int
    payment_id: int
    body: str


class PaymentNotificationConsumer(TableBaseConsumer):
    """One task is one row of `payment_notification`. `configs` says how often, how long, and how many at once.

    With `destination = "app_id"`, a game server that is down holds up its own notifications alone.
    """

    class Config(BaseModel):
        """timeout: how many seconds a game server may take; longest_wait: the longest `Retry-After` that is obeyed."""

        timeout: float = 10
        longest_wait: float = 2 * 60 * 60

    def handle_task(self, offset: int, record: Notification) -> object:
        with self.database.connect() as connection:
            hook = notification_manager.get_webhook(connection, record.app_id)
        if hook is None or hook.is_gone:
            return Dead(f"app {record.app_id}: its endpoint is {'missing' if hook is None else 'gone'}")
        body = record.body.encode()
        answer = notification_manager.deliver(hook, record.id, body, timeout_s=self.config["timeout"])
        with self.transaction() if answer.is_taken else self.database.begin() as connection:
            notification_manager.note_attempt(connection, hook, record.id, self.attempt, answer)
        return None if answer.is_taken else self._not_taken(record, answer)

    def _not_taken(self, record: Notification, answer: Answer) -> Dead | Retry:
        """DeliveryFailedError where the back-off decides. Each names the app, for `consumerd parked … --error`."""
        if answer.status == 410:
            return Dead(f"app {record.app_id}: its endpoint is gone")
        if answer.status in (429, 503) and answer.retry_after_s is not None:
            return Retry(after=min(answer.retry_after_s, self.config["longest_wait"]))
        error_class = AppAwayError if answer.status is None or answer.status >= 500 else DeliveryFailedError
        raise error_class(f"app {record.app_id}: {answer.status or 'no answer'} {answer.error}".rstrip())
