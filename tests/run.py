"""Runs pytest, and says last in which test it was, should it not come to its end: `python tests/run.py ARGUMENTS`.

A crash in a client's C library takes pytest along, and a test that hangs past its limit does too. The exit code is
pytest's; a signal's is 128 and its number, as in a shell.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

UNDER_WAY = "CONSUMERD_TEST_UNDER_WAY"  # names the file in which conftest.py notes the test that is under way


def main() -> int:
    """The exit code."""
    with tempfile.TemporaryDirectory(prefix="cd-") as folder:
        note = Path(folder, "under_way")
        status = _run_pytest(note)
        under_way = note.read_text() if note.exists() else ""
    if under_way or status < 0:
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"left with {status}"
        print(f"\npytest {how} {under_way or 'outside of its tests'}", file=sys.stderr, flush=True)
    return status if status >= 0 else 128 - status


def _run_pytest(note: Path) -> int:
    """Its exit code; below 0 it is a signal's number. Ctrl-C reaches it from the terminal, SIGTERM is passed on."""
    command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    with subprocess.Popen(command, env={**os.environ, UNDER_WAY: str(note)}) as process:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
