"""An error of consumerd's own: the log has it whole, and who looks is told that there is one."""

from __future__ import annotations

import sys
import traceback


def reported(error: Exception, last: str = "") -> str:
    """A sentence about it. last: what was told before; the same error again is written once."""
    sentence = f"an error of consumerd's, which its log has ({error!r})"
    if sentence != last:
        sys.stderr.write("".join(traceback.format_exception(error)))
    return sentence
