"""The stacks of all threads, written on the board when the master asks for them by a signal. Runs in workers.

The C handler of `faulthandler` runs whatever the interpreter does: also while a handler blocks in C code, with or
without the lock of the interpreter. It writes into memory, where nobody needs to read for it to end.
"""

from __future__ import annotations

import faulthandler
import os

from consumerd.wire.board import STACKS_AT_BYTE, STACKS_SIGNAL


def write_stacks_when_asked(board_fd: int) -> None:
    """From now on. `board_fd` has to stay open as long as the process lives."""
    os.lseek(board_fd, STACKS_AT_BYTE, os.SEEK_SET)
    faulthandler.register(STACKS_SIGNAL, file=board_fd, all_threads=True, chain=False)
