"""Loading as a zygote does it: what goes wrong is told, and without a secret."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.config.shape import ConsumerSettings, Settings
from consumerd.wire.messages import Assignment
from consumerd.worker.template import Failure, Template, load


@pytest.fixture(autouse=True)
def _logging_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded writes the lines of this process: afterwards it does not any more."""
    monkeypatch.setattr(logging, "lastResort", logging.lastResort)


def assignment(consumer: ConsumerSettings, settings: Settings, state_dir: Path) -> Assignment:
    return Assignment(
        consumer=consumer.model_dump_json(),
        settings=settings.model_dump_json(),
        directory=str(consumer.directory),
        state_dir=str(state_dir),
        member_prefix="0.shop.Mail",
    )


def test_what_an_import_raises_is_told_without_the_secrets_that_it_could_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRANT_PASSWORD", "hunter2hunter2")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "telltale_module.py").write_text(
        "import os\nraise RuntimeError('refused: ' + os.environ['GRANT_PASSWORD'])\n"
    )
    consumer = ConsumerSettings(
        group="shop",
        name="Mail",
        target="telltale_module:Mail",
        configs={"password": "${GRANT_PASSWORD}"},
        common=CommonKeys(),
        directory=tmp_path,
    )
    found = load(assignment(consumer, Settings(), tmp_path))
    assert isinstance(found, Failure)
    assert "refused: ***" in found.reason + found.traceback
    assert "hunter2" not in found.reason + found.traceback


def test_what_is_prepared_for_the_workers_knows_the_secrets_and_has_opened_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRANT_PASSWORD", "hunter2hunter2")
    monkeypatch.setenv("PARKING", f"sqlite:///{tmp_path}/correcthorse")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "prepared_module.py").write_text(
        "from consumerd import BaseConsumer\n"
        "class Mail(BaseConsumer):\n"
        "    SOURCE = 'memory'\n"
        "    def handle_task(self, offset, record): ...\n"
    )
    consumer = ConsumerSettings(
        group="shop",
        name="Mail",
        target="prepared_module:Mail",
        configs={"password": "${GRANT_PASSWORD}"},
        common=CommonKeys(),
        directory=tmp_path,
    )
    threads = threading.active_count()
    prepared = load(assignment(consumer, Settings(parking="${PARKING}"), tmp_path))
    assert isinstance(prepared, Template)
    assert prepared.redact("hunter2hunter2 and correcthorse") == "*** and correcthorse"
    assert prepared.redact(f"sqlite:///{tmp_path}/correcthorse") == "***"
    assert threading.active_count() == threads
    assert not (tmp_path / "correcthorse").exists()


def test_what_user_code_raises_when_its_class_is_looked_at_is_told_and_ends_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "raising_module.py").write_text(
        "from consumerd import BaseConsumer\n"
        "class Raising:\n"
        "    def __get__(self, instance, owner): raise RuntimeError('odd')\n"
        "class Mail(BaseConsumer):\n"
        "    SOURCE = Raising()\n"
        "    def handle_task(self, offset, record): ...\n"
    )
    target = "raising_module:Mail"
    consumer = ConsumerSettings(
        group="shop", name="Mail", target=target, configs={}, common=CommonKeys(), directory=tmp_path
    )
    found = load(assignment(consumer, Settings(), tmp_path))
    assert isinstance(found, Failure)
    assert "RuntimeError: odd" in found.reason
    assert "raising_module.py" in found.traceback
