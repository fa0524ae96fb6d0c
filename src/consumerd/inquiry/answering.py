"""The child's side of an inquiry. Imports nothing heavy."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

GRACE_S = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """Where the answer goes."""

    fd: int

    def send(self, part: dict[str, Any], *, last: bool) -> None:
        """One object of plain data; the asker reads on until the last."""
        line = memoryview(json.dumps({**part, "last": last}).encode() + b"\n")
        while line:
            line = line[os.write(self.fd, line) :]


def receive(arguments: list[str]) -> tuple[Reply, dict[str, Any]]:
    """What is asked, and where to answer. To be called before any user code runs.

    The descriptor is not left to programs that user code starts. Should the asker be killed, so that nobody ends this
    process at its deadline, the alarm does.
    """
    fd, timeout_s = int(arguments[0]), float(arguments[1])
    os.set_inheritable(fd, False)
    signal.alarm(math.ceil(timeout_s) + GRACE_S)
    asked: dict[str, Any] = json.load(sys.stdin)
    return Reply(fd), asked
