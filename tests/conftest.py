"""Fixtures of all tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # a busy machine is no finding
settings.load_profile("no deadline")


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """An empty folder with a path so short that a Unix socket fits into it; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="cd-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
