"""Applies the changes of game accounts: levels, coins, bans."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from consumerd import Dead, KafkaBaseConsumer
from gop_consumer import account_manager
from gop_consumer.account_manager import Change, UnknownAccountError


class AccountChange(BaseModel):
    """One change, as the game writes it to Kafka, with the account's id as the message's key."""

    account_id: int
    version: int
    change_id: str
    what: Literal["level", "coins", "ban"]
    value: int


class AccountConsumer(KafkaBaseConsumer):
    """With `ordered = "key"` the changes of one account come one by one, and those of others beside them.

    A message may come again after a kill. Its offset stands in Kafka and its effect in the database, so no transaction
    has both: the version, which is written with the effect, says what has been applied.
    """

    def task_key(self, record: AccountChange) -> int:
        return record.account_id

    def handle_task(self, offset: int, record: AccountChange) -> object:
        try:
            with self.database.begin() as connection:
                account_manager.apply_change(connection, Change(**record.model_dump()))
        except UnknownAccountError as error:
            return Dead(str(error))
        return None
