"""Asks payment channels about payments that are not settled."""

from __future__ import annotations

from time import time

from pydantic import BaseModel

from consumerd import Dead, Retry, TableBaseConsumer
from gop_consumer import asking, channel_client, payment_manager
from gop_consumer.channel_client import Status, WrongAnswerError
from gop_consumer.payment_manager import Payment


class Check(BaseModel):
    """The columns of `payment_check` that are needed."""

    payment_id: int
    channel: str


class PaymentCheckConsumer(TableBaseConsumer):
    """One task is one payment, until it is settled or the schedule of asking has come to its end.

    `breaker = {failures = ["OSError"]}`: a channel that says *pending*, for which the task is put off, is not down.
    """

    class Config(BaseModel):
        """channels: the URL of each; timeout: seconds for one answer; pending, unknown: as `asking` has them."""

        channels: dict[str, str]
        timeout: float = 10
        pending: asking.Steps = asking.PENDING
        unknown: asking.Steps = asking.UNKNOWN

    def handle_task(self, offset: int, record: Check) -> object:
        with self.database.connect() as connection:
            payment = payment_manager.get_payment(connection, record.payment_id)
        if payment is None:
            return Dead(f"payment {record.payment_id}: there is no such payment")
        if payment.status.is_final:
            return None  # the callback was first
        status = self._ask(payment)  # no answer is no answer: tried again by the back-off, until `expire_time`
        if not status.is_final:
            return self._ask_later(payment, status)
        with self.transaction() as connection:  # the payment, what the game server is told, and this task
            payment_manager.settle(connection, payment, status, by="poll")
        return None

    def _ask(self, payment: Payment) -> Status:
        url = self.config["channels"][payment.channel]
        status = channel_client.ask(url, payment.payment_id, payment.amount, self.config["timeout"])
        if status is Status.UNKNOWN and payment.status is Status.PENDING:
            raise WrongAnswerError(f"payment {payment.payment_id}: the channel had it, and does not know it any more")
        return status

    def _ask_later(self, payment: Payment, status: Status) -> Retry | Dead:
        now = time()
        said_since = payment.said_since if status is payment.status and payment.said_since is not None else now
        with self.database.begin() as connection:
            payment_manager.note_status(connection, payment, status, said_since)
        after_s = asking.next_question_s(self.config[status], now - said_since)
        if after_s is None:
            return Dead(f"payment {payment.payment_id}: still {status}, and nobody asks any more: look it up by hand")
        return Retry(after=after_s)
