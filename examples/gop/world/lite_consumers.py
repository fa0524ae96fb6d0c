"""For `make gop-lite`: the consumers of topics, with a claimed table in the place of the topic; all else is theirs."""

from __future__ import annotations

from consumerd import TableBaseConsumer
from gop_consumer.consumers.account_consumer import AccountConsumer
from gop_consumer.consumers.login_batch_consumer import LoginBatchConsumer


class LiteLoginConsumer(TableBaseConsumer, LoginBatchConsumer):
    """Rows of `login_task_row`."""


class LiteAccountConsumer(TableBaseConsumer, AccountConsumer):
    """Rows of `account_change_row`."""
