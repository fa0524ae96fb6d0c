"""Executes a process with the environment, directory, user and priority that a consumer's entry names for it.

The master executes this module in a zygote's place, as `python -m consumerd.worker.execution FD`: it takes those on,
and executes the zygote in its own place, with its pid. So what is read at the start of a process (PYTHONPATH,
LD_PRELOAD, MALLOC_…) counts, and what belongs to a user is that user's from the first import on.
Secrets are read as the master's user: a `file:` need not be readable for the consumer's. It imports nothing heavy.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from consumerd.config.execution import Account, Execution
from consumerd.config.secrets import UnresolvedError
from consumerd.errors import ConsumerdError, UsageError
from consumerd.model.exits import WorkerExit
from consumerd.version import __version__
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import ZYGOTE_MODULE, die_with_parent, first_message, ignore_signals, inherited_channel
from consumerd.wire.messages import Assignment, Hello, LoadFailed, from_plain, to_plain


class NotExecutedError(UsageError):
    """A process cannot be executed as its entry says; one sentence."""


def execute_as(execution: Execution, arguments: Sequence[str], *, pass_fds: Sequence[int]) -> NoReturn:
    """Become `python -P -m ARGUMENTS` as the execution says, with these descriptors; NotExecutedError if that fails.

    The user is taken on last but for the directory, which must be the user's to enter. Nothing runs as somebody else
    than the entry names: where any step is refused, this process has to end.
    """
    try:
        environment, account = execution.variables(os.environ), execution.account()
    except UnresolvedError as error:
        raise NotExecutedError(str(error)) from error
    try:
        if execution.nice is not None:
            os.setpriority(os.PRIO_PROCESS, 0, execution.nice)
    except OSError as error:
        raise NotExecutedError(
            f"nice {execution.nice} is refused ({error.strerror}): only root can lower it below the master's"
        ) from error
    if account is not None:
        become(account)
    try:
        directory = execution.path_of_directory()
        if directory is not None:
            os.chdir(directory)
            environment["PWD"] = str(directory)
        for fd in pass_fds:
            os.set_inheritable(fd, True)
        os.execve(sys.executable, [sys.executable, "-P", "-m", *arguments], environment)  # noqa: S606 - ourselves
    except (OSError, ValueError) as error:
        whose = "" if account is None else f" as the user {account.pw_name!r}"
        raise NotExecutedError(f"its process cannot be executed{whose}: {error}") from error


def become(account: Account) -> None:
    """Take on a user with all groups, for good; NotExecutedError where anything of the old one would be left."""
    if account.pw_uid == os.geteuid() == os.getuid():
        return
    try:
        os.initgroups(account.pw_name, account.pw_gid)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    except OSError as error:
        raise NotExecutedError(
            f"the user {account.pw_name!r} cannot be taken on ({error.strerror}): only root can do that"
        ) from error
    if (os.getresuid(), os.getresgid()) != ((account.pw_uid,) * 3, (account.pw_gid,) * 3) or _can_be_root_again(
        account
    ):
        raise NotExecutedError(f"the user {account.pw_name!r} was not taken on for good: nothing runs like that")


def _can_be_root_again(account: Account) -> bool:
    if account.pw_uid == 0:
        return False
    try:
        os.setuid(0)
    except OSError:
        return False
    return True


def copied(content: str, name: str) -> int:
    """A descriptor from which the next program reads this content."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "w", encoding="utf-8") as file:
        file.write(content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def assignment_from(fd: int) -> Assignment:
    """What `main` has put there for the zygote that it became."""
    with os.fdopen(fd, encoding="utf-8") as file:
        message = from_plain(json.load(file))
    assert isinstance(message, Assignment)
    return message


def main(arguments: Sequence[str]) -> int:
    """The top of the process, in a zygote's place."""
    ignore_signals()
    try:
        return _serve(inherited_channel(arguments))
    except (BrokenPipeError, ConnectionResetError):
        return WorkerExit.MASTER_GONE
    except ConsumerdError as error:
        sys.stderr.write(f"consumerd: {error}\n")
        return error.exit_code


def _serve(channel: Channel) -> int:
    die_with_parent(True)
    channel.send(Hello(__version__))
    assignment, _ = first_message(channel, Assignment)
    assignment_fd = copied(json.dumps(to_plain(assignment)), "consumerd-assignment")
    settings = json.loads(assignment.consumer)  # without its model, which takes long to import
    execution = Execution.of(settings["common"], Path(settings["directory"]))
    try:
        zygote = [ZYGOTE_MODULE, str(channel.fileno()), str(assignment_fd)]
        execute_as(execution, zygote, pass_fds=(channel.fileno(), assignment_fd))
    except NotExecutedError as error:
        channel.send(LoadFailed(str(error)))
        return WorkerExit.LOAD_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
