"""A file of JSON lines, each appended by one write: what was noted is there, whoever is killed next."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Ledger:
    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(self, **entry: Any) -> None:  # what JSON has
        os.write(self._descriptor, json.dumps(entry).encode() + b"\n")


def read(path: Path) -> list[dict[str, Any]]:  # what JSON has
    """The whole lines: it may be written meanwhile."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().rpartition("\n")[0].splitlines()]
