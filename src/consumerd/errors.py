"""The errors of consumerd, one tree; each knows the exit code of a command that ends with it.

ConsumerdError                    1
├── UsageError                    2   used wrongly: a verb, an option, a target
│   ├── ConfigurationError        2   the configuration has mistakes; carries all of them
│   ├── MissingExtraError         2   an optional dependency is not installed
│   └── StateDirectoryError       2   the state directory cannot be used
├── NotRunningError               1   no master answers on the control socket
├── LoadError                     11  the consumer's module or class cannot be loaded
├── SourceError                   1
│   ├── SourceAwayError           1   the source does not answer: wait and try again, no task has failed
│   │   ├── QueryFailedError      1   the user's query raised: another process may do better
│   │   └── CommitUnknownError    1   the answer to a COMMIT was lost: the task's row tells
│   ├── TaskLostError             1   a task is not this worker's any more: what its handler wrote was rolled back
│   └── SourceRefusedError        12  the source answered no: authentication, no such topic, fenced
├── SystemRefusedError            16  the system refuses a thread or a descriptor: wait and try again
├── StoreAwayError                1   the parking store does not answer: what failed stays unfinished
│   └── UnstorableError           1   it answers, and does not take this one task: that one stays unfinished
├── UndecodableError              1   a payload that cannot become a record: parked at once, bytes kept
└── WireError                     1   a peer broke the protocol
    └── UnreadError               1   a peer does not read what is sent to it
"""

from __future__ import annotations


class ConsumerdError(Exception):
    """Whatever consumerd itself raises. The message is one line: what happened, to what, and what to do."""

    exit_code = 1


class UsageError(ConsumerdError):
    """consumerd was used wrongly."""

    exit_code = 2


class ConfigurationError(UsageError):
    """A configuration does not hold up. `problems` has one line for each mistake, in the document's order."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class MissingExtraError(UsageError):
    """An optional dependency is needed and not installed; the message names the install command."""

    def __init__(self, needed_for: str, extra: str) -> None:
        super().__init__(f"{needed_for} needs what the extra `{extra}` brings: {install_command(extra)}")


def install_command(extra: str) -> str:
    """What installs the packages of an extra beside the consumerd that is there, wherever that came from: by the Python
    that runs, which may be another one than the shell's.
    """
    import shlex
    import sys
    from importlib import metadata  # only where something is missing

    try:
        needed = metadata.requires("consumerd") or []
    except metadata.PackageNotFoundError:  # it runs from its source, and is not installed
        needed = []
    named = [each.partition(";") for each in needed]
    packages = [package.strip() for package, _, condition in named if condition.strip() == f"extra == '{extra}'"]
    if not packages:
        return f"install consumerd with the extra {extra}"
    return f"{shlex.quote(sys.executable)} -m pip install {' '.join(map(repr, packages))}"


class StateDirectoryError(UsageError):
    """The state directory cannot be made, written or locked; the message names `--state-dir`."""


class NotRunningError(ConsumerdError):
    """No master answers on the control socket of this state directory.

    socket: the path of the socket, where there is none; else empty.
    """

    socket: str = ""


class LoadError(ConsumerdError):
    """A consumer's module or class cannot be loaded."""

    exit_code = 11


class SystemRefusedError(ConsumerdError):
    """The system refuses this process a thread or a descriptor that it cannot be without."""

    exit_code = 16


class SourceError(ConsumerdError):
    """Something is wrong with a source; one of the two subclasses is raised."""


class SourceAwayError(SourceError):
    """The source does not answer. No task has failed: wait, try again, report once."""


class QueryFailedError(SourceAwayError):
    """The user's own query raised. Its connection belongs to the process: in another process it may succeed."""


class CommitUnknownError(SourceAwayError):
    """The answer to a COMMIT was lost, so that nobody knows yet whether a handler's transaction was committed.

    Its row tells: if the task is not done, it comes again.
    """


class TaskLostError(SourceError):
    """A task is not this worker's any more; what its handler wrote in `self.transaction()` was rolled back."""


class SourceRefusedError(SourceError):
    """The source answered and refused: authentication, no such topic or table, fenced."""

    exit_code = 12


class StoreAwayError(ConsumerdError):
    """The parking store does not answer in time. Nothing settles past a task that waits for it."""


class UnstorableError(StoreAwayError):
    """The parking store answers, and does not take one task for what it holds. That task stays unfinished."""


class UndecodableError(ConsumerdError):
    """A payload cannot become a record. The task is parked at once, with its bytes.

    misfit: what the consumer's model of a record has against it; empty where the payload itself cannot be read.
    """

    def __init__(self, message: str, *, misfit: str = "") -> None:
        super().__init__(message)
        self.misfit = misfit


class WireError(ConsumerdError):
    """A peer sent what the protocol does not allow."""


class UnreadError(WireError):
    """A peer has left so much unread that nothing more is kept for it."""
