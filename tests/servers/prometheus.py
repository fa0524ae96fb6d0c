"""Prometheus' own tool, which checks rules and what is told, without a server."""

import functools
import os
import subprocess
import tempfile
from pathlib import Path

from servers.packages import UnavailableError, advice, find_program

PACKAGE = "prometheus"
_DOWNLOAD_S = 600


@functools.cache
def promtool() -> str:
    """The path of `promtool`: as it is installed here, or out of Debian's package, which is unpacked and no more."""
    kept = Path(tempfile.gettempdir()) / f"consumerd-{PACKAGE}-{os.geteuid()}" / "usr" / "bin" / "promtool"
    if found := find_program("promtool") or (str(kept) if kept.exists() else None):
        return found
    try:
        with tempfile.TemporaryDirectory() as directory:
            _run("apt-get", "--quiet", "download", PACKAGE, directory=directory)
            (package,) = Path(directory).glob(f"{PACKAGE}_*.deb")
            _run("dpkg-deb", "--extract", str(package), "unpacked", directory=directory)
            kept.parent.mkdir(parents=True, exist_ok=True)
            (Path(directory) / "unpacked" / "usr" / "bin" / "promtool").replace(kept)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise UnavailableError(f"promtool not found; {advice((PACKAGE,))}") from error
    return str(kept)


def _run(*command: str, directory: str) -> None:
    subprocess.run(command, check=True, cwd=directory, stdin=subprocess.DEVNULL, timeout=_DOWNLOAD_S)
