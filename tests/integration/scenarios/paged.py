"""Consumers for the tests of the page in a browser: some that is quick, some that lasts, some that is hostile."""

from __future__ import annotations

import time
from typing import Any

from integration.scenarios.small_pools import Counting

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
HOSTILE = f"{MARKUP} \u202etfel ot thgir\u202c \x00\x1b[31m \u200b {'long' * 500}"

Record = dict[str, Any]  # what a generator yields has any shape


class Quick(Counting):
    """Some two hundred tasks a second."""


class Lasting(Quick):
    """A task that lasts until it is interrupted, under a name that is hostile."""

    def task_id(self, record: Record) -> str:
        return f"{record['id']} {MARKUP}"

    def handle_task(self, offset: int, record: Record) -> None:
        time.sleep(600)


class Hostile(Quick):
    """Each task fails with an error that would like to be a page."""

    def handle_task(self, offset: int, record: Record) -> None:
        time.sleep(0.2)
        raise ValueError(HOSTILE)
