"""The master, as the page asks it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from consumerd.dashboard.master import LOOKS_FOR_S, Master
from consumerd.errors import ConsumerdError
from consumerd.testing.clock import ManualClock
from consumerd.verbs.parked.methods import ParkedDiscard, ParkedList

PAGES = 40


@contextmanager
def streaming(path: Path, tell: Callable[[], None]) -> Iterator[None]:
    """A master that answers one request with so many pages of one task each. tell: is called before each."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def answer() -> None:
            connection, _ = listening.accept()
            with suppress(ConnectionError), connection, connection.makefile("rwb") as lines:
                own = json.loads(lines.readline())["id"]
                for number in range(PAGES):
                    tell()
                    params = {"id": own, "item": [{"number": number}]}
                    lines.write(json.dumps({"jsonrpc": "2.0", "method": "item", "params": params}).encode() + b"\n")
                    lines.flush()
                lines.write(json.dumps({"jsonrpc": "2.0", "id": own, "result": None}).encode() + b"\n")
                lines.flush()

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize("asked", [ParkedList(), ParkedDiscard(all=True, dry_run=True)])
def test_a_look_ends_after_a_while_with_a_sentence(state_dir: Path, asked: ParkedList | ParkedDiscard) -> None:
    clock, path = ManualClock(), state_dir / "control.sock"
    with (
        streaming(path, lambda: clock.advance(LOOKS_FOR_S / 10)),
        pytest.raises(ConsumerdError, match="narrow it down by consumer or time"),
    ):
        Master(path, clock).answer(asked)


def test_all_pages_of_a_stream_are_one_answer_and_what_changes_something_goes_on_to_its_end(state_dir: Path) -> None:
    clock, path = ManualClock(), state_dir / "control.sock"
    with streaming(path, lambda: clock.advance(LOOKS_FOR_S)):
        found = Master(path, clock).answer(ParkedDiscard(all=True))
    assert found == [{"number": number} for number in range(PAGES)]
