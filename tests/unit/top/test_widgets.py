"""What tasks have said, on the screens of `consumerd top`: it steers no terminal."""

from __future__ import annotations

import asyncio

import pytest
from textual.app import App
from textual.screen import Screen
from textual.widgets import Static

from consumerd.top.acts import Act
from consumerd.top.widgets import Question, Reading
from consumerd.verbs.cancel import Cancel

PWNED = "\x1b]0;PWNED\x07"
SHOWN = "\\x1b]0;PWNED\\x07"


@pytest.mark.parametrize(
    ("screen", "place"),
    [
        (Question(Act(f"End {PWNED}?", "consumerd cancel", Cancel("a/B#0:1:1"))), "#question"),
        (Question(Act("End it?", f"consumerd cancel {PWNED}", Cancel("a/B#0:1:1"))), "#command"),
        (Reading(f"one\n{PWNED}"), "#text"),
    ],
)
def test_control_characters_are_shown_as_escapes(screen: Screen[object], place: str) -> None:
    async def shown() -> str:
        app = App[None]()
        async with app.run_test():
            await app.push_screen(screen)
            return str(screen.query_one(place, Static).render())

    assert SHOWN in asyncio.run(shown())
