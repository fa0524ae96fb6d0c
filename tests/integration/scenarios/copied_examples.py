"""The examples of a page, as a reader copies them into a folder, and runs them there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from integration.scenarios.running import environment

DEADLINE_S = 60.0
_EXAMPLE = re.compile(r"^```(?:python|toml)\n# (\w+\.\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def copy_examples(page: Path, folder: Path) -> None:
    """Each that begins with the name of its file."""
    for name, text in _EXAMPLE.findall(page.read_text()):
        (folder / name).write_text(text)


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run to its end, in the folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
