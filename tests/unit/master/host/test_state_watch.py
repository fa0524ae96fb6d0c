"""What a master does when its state directory is removed while it runs."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from consumerd.events.facts import Fact
from consumerd.master.host.state_watch import StateWatch
from consumerd.state.locks import MasterLock


class Lock:
    """A lock whose directory is gone until it is taken again."""

    def __init__(self) -> None:
        self.is_in_place = False
        self.directory = SimpleNamespace(path=Path("state"), prepare=lambda: None)

    def take_again(self) -> None:
        self.is_in_place = True


async def listen_again() -> bool:
    return False


def test_what_a_new_directory_must_have_is_written_at_the_next_look_where_it_could_not_be() -> None:
    facts: list[Fact] = []
    outcomes: list[Any] = [OSError(28, "No space left on device"), None]  # of each time that it is written

    def restore() -> None:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    watch = StateWatch(cast("MasterLock", Lock()), listen_again, facts.append, restore, str)
    for _ in range(3):
        asyncio.run(watch.look())
    assert outcomes == []
    assert [fact.name for fact in facts] == ["state_directory_lost", "state_directory_made"]
