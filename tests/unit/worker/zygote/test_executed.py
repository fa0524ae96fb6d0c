"""Modules are imported from what their zygote has read, whatever lies on the disk by then."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from consumerd.worker.zygote.executed import import_only_from, sources_as_imported

NAMES = ("kept_shop", "kept_shop.prices", "kept_helper")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    (tmp_path / "kept_shop").mkdir()
    (tmp_path / "kept_shop" / "__init__.py").write_text("from kept_shop import prices\nimport kept_helper\n")
    (tmp_path / "kept_shop" / "prices.py").write_text("PRICE = 1\nHERE = __file__\n")
    (tmp_path / "kept_helper.py").write_text("HELP = 'as it was'\n")
    return tmp_path


def import_anew() -> None:
    for name in NAMES:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    importlib.import_module("kept_shop")


def test_a_package_and_what_lies_beside_it_are_imported_as_they_were(project: Path) -> None:
    import_anew()
    kept = sources_as_imported(project, "kept_shop")
    assert set(json.loads(kept)) == set(NAMES)
    (project / "kept_shop" / "prices.py").write_text("PRICE = 2\n")
    (project / "kept_helper.py").unlink()
    import_only_from(kept)
    import_anew()
    assert sys.modules["kept_shop.prices"].PRICE == 1
    assert str(project / "kept_shop" / "prices.py") == sys.modules["kept_shop.prices"].HERE
    assert sys.modules["kept_helper"].HELP == "as it was"


def test_a_module_that_nobody_had_imported_comes_from_the_disk(project: Path) -> None:
    import_anew()
    import_only_from(sources_as_imported(project, "kept_shop"))
    (project / "kept_shop" / "later.py").write_text("LATER = True\n")
    import_anew()
    assert importlib.import_module("kept_shop.later").LATER
