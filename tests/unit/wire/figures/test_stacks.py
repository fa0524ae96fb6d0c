"""The stacks of threads, where only the begin of a text is shown."""

from __future__ import annotations

import pytest

from consumerd.wire.figures.stacks import SHOWN_CHARACTERS, handler_first

OURS = "/usr/lib/python3/site-packages/consumerd/worker/tasks/loop.py"


def thread(*calls: str, name: str = "Thread 0x1", file: str = "/app/shop/mails.py") -> str:
    lines = [f'  File "{file}", line {number} in {call}' for number, call in enumerate(calls)]
    return "\n".join([f"{name} (most recent call first):", *lines])


OTHERS = [thread(*["run", "bootstrap"] * 20, name=f"Thread 0x{number}") for number in range(2, 6)]
DEEP = thread("connect", *["walk"] * 80, "handle_task", *["turn"] * 15, name="Current thread 0x1")


@pytest.mark.parametrize("threads", [[*OTHERS, DEEP], [OTHERS[0], DEEP, *OTHERS[1:]]])
def test_what_the_handler_does_is_in_what_is_shown_of_long_stacks(threads: list[str]) -> None:
    found = handler_first("\n\n".join(threads) + "\n")
    shown = found[:SHOWN_CHARACTERS]
    assert shown.startswith("Current thread 0x1 (most recent call first):")
    assert "in connect" in shown
    assert "in handle_task" in shown
    assert " calls …" in shown
    assert all(other in found for other in OTHERS)


def test_short_stacks_stay_as_they_are() -> None:
    stacks = "\n\n".join([thread("run"), thread("hang", "handle_task", "turn")])
    assert handler_first(stacks) == stacks


def test_where_nobody_knows_the_handler_the_deepest_or_the_main_thread_comes_first() -> None:
    cut = thread(*["walk"] * 100) + "\n  ..."
    main = thread("poll", *["turn"] * 60, name="Thread 0x9", file=OURS)
    assert handler_first("\n\n".join([*OTHERS, cut, main])).startswith("Thread 0x1")
    assert handler_first("\n\n".join([*OTHERS, main])).startswith("Thread 0x9")
    assert all(len(handler_first("x" * size)) <= size + 1 for size in (0, 5_000))
