"""How much memory a process has of its own. Runs in the master; Linux."""

from __future__ import annotations

from pathlib import Path

_OF_ITS_OWN = ("Private_Clean:", "Private_Dirty:", "SwapPss:")


def own_bytes(pid: int) -> int | None:
    """What would be free without this process (its USS, and what of it is swapped out); None where nobody may know.

    The kernel walks the process's pages for it: about a millisecond for a hundred megabytes.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return None
    return own_bytes_in(text)


def own_bytes_in(rollup: str) -> int:
    """The same of the text of `smaps_rollup`; its numbers are in KiB."""
    lines = (line.split() for line in rollup.splitlines())
    return 1024 * sum(int(line[1]) for line in lines if len(line) > 1 and line[0] in _OF_ITS_OWN)
