"""What becomes of a reload whose configuration has a mistake."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from consumerd.config.shape import Document
from consumerd.errors import ConfigurationError
from consumerd.events.facts import Fact
from consumerd.master.control.controls import Controls
from consumerd.master.control.reloader import Reloader
from consumerd.verbs.reload import Reload


class Asked:
    """A master of which a reload is asked."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.reloader = Reloader(cast("Any", None), self._read, self.facts.append)

    def _read(self) -> Document:
        raise ConfigurationError(("a.toml: there is no key wrokers",))


@pytest.mark.parametrize(("is_dry", "told"), [(False, 1), (True, 0)])
def test_a_reload_that_is_refused_is_told_to_who_asked_and_to_all_unless_it_was_dry(is_dry: bool, told: int) -> None:
    asked = Asked()
    with pytest.raises(ConfigurationError, match="wrokers"):
        asyncio.run(Reload(is_dry).answer(cast("Controls", asked), "ann"))
    assert [fact.name for fact in asked.facts] == ["reload_refused"] * told
    assert all("wrokers" in str(fact.fields["error"]) for fact in asked.facts)
