"""What the system says when it refuses a process, a thread or a descriptor, with what to do about it."""

from __future__ import annotations

import errno

_ADVICE = {
    errno.EMFILE: "raise the limit on open files (ulimit -n, LimitNOFILE)",
    errno.ENFILE: "raise the machine's limit on open files (fs.file-max)",
    errno.EAGAIN: "raise the limit on processes (ulimit -u, TasksMax, the container's limit on pids)",
    errno.ENOMEM: "give the machine or the container more memory",
    errno.ENOENT: "put back what was removed, or restart the master",
}


def refusal(error: OSError) -> str:
    """One sentence for an error with which the system refused something."""
    what = error.strerror or str(error)
    named = f"{what}: {error.filename}" if error.filename is not None else what
    advice = _ADVICE.get(error.errno or 0)
    return f"the system refuses it ({named})" + (f": {advice}" if advice else "")
