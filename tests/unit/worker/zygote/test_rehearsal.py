"""The rehearsal leaves nothing behind that a fork would share or lose."""

from __future__ import annotations

import gc
from pathlib import Path

from consumerd.config.common_keys import CommonKeys
from consumerd.worker.zygote.rehearsal import rehearse


def test_a_rehearsal_leaves_no_descriptor_and_no_thread() -> None:
    rehearse(CommonKeys())
    gc.collect()
    descriptors, threads = _inventory()
    rehearse(CommonKeys())
    gc.collect()
    assert _inventory() == (descriptors, threads)


def _inventory() -> tuple[list[str], list[str]]:
    return _names("/proc/self/fd"), _names("/proc/self/task")


def _names(directory: str) -> list[str]:
    return sorted(path.name for path in Path(directory).iterdir())
