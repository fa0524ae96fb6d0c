"""The rehearsal leaves nothing behind that a fork would share or lose, and runs nothing of the user's."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.config.shape import ConsumerSettings, Settings
from consumerd.wire.messages import Assignment
from consumerd.worker.template import Template, load
from consumerd.worker.zygote.rehearsal import rehearse

CODE = """
from consumerd import BaseConsumer

class Mail(BaseConsumer):
    SOURCE = "memory"

    def __init__(self, *arguments, **configs):
        raise AssertionError("made before the fork")

    def handle_task(self, offset, record): ...
"""


@pytest.fixture(params=[{}, {"concurrency": 3, "destination": "server"}], ids=["plain", "window"])
def template(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Template:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "rehearsed_module.py").write_text(CODE)
    consumer = ConsumerSettings(
        group="shop",
        name="Mail",
        target="rehearsed_module:Mail",
        configs=request.param,
        common=CommonKeys.model_validate(request.param),
        directory=tmp_path,
    )
    assignment = Assignment(
        consumer=consumer.model_dump_json(),
        settings=Settings().model_dump_json(),
        directory=str(tmp_path),
        state_dir=str(tmp_path),
        member_prefix="0.shop.Mail",
    )
    monkeypatch.setattr(logging, "lastResort", logging.lastResort)  # to be as it was: what is loaded writes there
    template = load(assignment)
    assert isinstance(template, Template)
    return template


def test_a_rehearsal_leaves_no_descriptor_no_thread_and_no_word(
    template: Template, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rehearse(template)
    gc.collect()
    found = _inventory(tmp_path)
    rehearse(template)
    gc.collect()
    assert _inventory(tmp_path) == found
    assert capfd.readouterr() == ("", "")


def _inventory(directory: Path) -> list[list[str]]:
    return [_names(Path(place)) for place in ("/proc/self/fd", "/proc/self/task", directory)]


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
