"""Loading as a zygote does it: what goes wrong is told, and without a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumerd.config.shape import CommonKeys, ConsumerSettings, Settings
from consumerd.worker.loading import Failure, load


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
    found = load(consumer, Settings(), tmp_path)
    assert isinstance(found, Failure)
    assert "refused: ***" in found.reason + found.traceback
    assert "hunter2" not in found.reason + found.traceback
