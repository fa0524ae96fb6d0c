"""The page of a worker: which one is meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from consumerd.dashboard.access.sessions import Role
from consumerd.dashboard.memory import Memory
from consumerd.dashboard.page import Ask, Context, NotThereError, Visit
from consumerd.dashboard.pages.worker import show, show_stacks
from consumerd.dashboard.watch import Seen
from consumerd.errors import ConsumerdError


def _unasked(method: object) -> object:
    raise ConsumerdError("nobody asks")


def _unkept(method: object, of: object) -> object:
    raise ConsumerdError("nobody asks")


@pytest.mark.parametrize("slot", ["9" * 5_000, "", "x", "-1", "²", "1\0", "1.0"])
@pytest.mark.parametrize("shown", [show, show_stacks])
def test_what_is_no_number_of_a_worker_is_not_there(shown: Callable[[Visit], Context], slot: str) -> None:
    ask: Ask = _unasked
    parameters = {"group": "a", "name": "b", "slot": slot}
    visit = Visit(Seen(), Memory(), Role.READ_ONLY, ask, _unkept, Path("/nonexistent"), parameters)
    with pytest.raises(NotThereError, match="a/b has no worker"):
        shown(visit)
