"""Unit tests are quick: what they write is not for keeping and waits for no disk, and properties get some examples.

CONSUMERD_TEST_EXAMPLES is how many, for a machine with time; every run draws others.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("quick", deadline=None, max_examples=int(os.environ.get("CONSUMERD_TEST_EXAMPLES", "40")))
settings.load_profile("quick")

MEMORY = Path("/dev/shm")


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """As in all tests, but in memory where the system has a folder for that."""
    is_there = MEMORY.is_dir() and os.access(MEMORY, os.W_OK | os.X_OK)
    folder = Path(tempfile.mkdtemp(prefix="cd-", dir=MEMORY if is_there else "/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
