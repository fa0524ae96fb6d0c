"""The state directory: its place and its files.

Imports neither pydantic nor a SQL client: the control verbs use it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consumerd.errors import StateDirectoryError
from consumerd.model.identity import ConsumerName, is_unicode
from consumerd.state.working_directory import absolute

LONGEST_SOCKET_PATH_BYTES = 107
"""What the kernel takes for the path of a Unix socket, without its final NUL."""

ROOT_DEFAULT = Path("/var/lib/consumerd")
ADVICE = "name another directory with --state-dir"
_OURS = frozenset({"id", "master.lock", "control.sock", "slots", "parked.sqlite", "parked.lock"})


@dataclass(frozen=True)
class StateDirectory:
    """One master's directory. `path` is absolute; nothing is made before `prepare`."""

    path: Path

    @classmethod
    def locate(cls, chosen: str | os.PathLike[str] | None, environ: Mapping[str, str], uid: int) -> StateDirectory:
        """Where the state is: as chosen, else under `$XDG_STATE_HOME`, else root's default, else under HOME.

        Raises StateDirectoryError where there is no such place, or its path is not UTF-8, or too long for the socket.
        """
        directory = cls(absolute(chosen) if chosen else _default(environ, uid))
        if not is_unicode(str(directory.path)):
            raise StateDirectoryError(f"the path {str(directory.path)!r} is not UTF-8, and must be: {ADVICE}")
        length = len(os.fsencode(directory.control_socket))
        if length > LONGEST_SOCKET_PATH_BYTES:
            raise StateDirectoryError(
                f"the path of the control socket, {directory.control_socket}, has {length} bytes and the system takes "
                f"{LONGEST_SOCKET_PATH_BYTES}: name a shorter directory with --state-dir"
            )
        return directory

    @property
    def control_socket(self) -> Path:
        return self.path / "control.sock"

    @property
    def master_lock(self) -> Path:
        """Held by the master as long as it lives: `locks.hold`."""
        return self.path / "master.lock"

    @property
    def id_file(self) -> Path:
        """Read and made by `host_identity.own_id`."""
        return self.path / "id"

    @property
    def parked_database(self) -> Path:
        return self.path / "parked.sqlite"

    @property
    def overrides(self) -> Path:
        """What operators have set by hand: `master.control.overrides`."""
        return self.path / "overrides.json"

    @property
    def audit_log(self) -> Path:
        """Who did what, when: `master.control.audit`."""
        return self.path / "audit.log"

    @property
    def edited_log(self) -> Path:
        """Parked tasks as they were before somebody gave them another record: `verbs.parked.helper`."""
        return self.path / "edited.log"

    def slot_lock(self, consumer: ConsumerName, slot: int) -> Path:
        """The lock file of one slot. `+` is in no name, so that `a.b/c` and `a/b.c` do not share one."""
        return self.path / "slots" / f"{consumer.group}+{consumer.name}.{slot}.lock"

    def slot_locks(self, consumer: ConsumerName) -> tuple[Path, ...]:
        """The lock files of all slots that a consumer ever had here."""
        start = f"{consumer.group}+{consumer.name}."
        with contextlib.suppress(FileNotFoundError):
            found = sorted((self.path / "slots").iterdir())
            return tuple(path for path in found if path.name.startswith(start) and path.name.endswith(".lock"))
        return ()

    def prepare(self) -> None:
        """Make the directory, 0700, and what it holds; check that it is ours and can be written.

        Raises StateDirectoryError. A directory that holds other things is left as it is.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._make_private(self.path)
            self._make_private(self.path / "slots")
            _check_writable(self.path)
        except OSError as error:
            raise StateDirectoryError(
                f"the state directory {self.path} cannot be used ({error.strerror}): {ADVICE}"
            ) from error

    def _make_private(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            self._check_ours(directory)
        directory.chmod(0o700)

    def _check_ours(self, directory: Path) -> None:
        found = directory.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise StateDirectoryError(f"the state directory {directory} is not a directory: {ADVICE}")
        if found.st_uid != os.geteuid():
            raise StateDirectoryError(
                f"the state directory {directory} belongs to user {found.st_uid}, not to {os.geteuid()}: {ADVICE}, "
                "for instance a new one inside it"
            )
        names = {entry.name for entry in directory.iterdir()} if directory == self.path else set()
        if names and not names & _OURS:  # it was in use before it was named here
            raise StateDirectoryError(
                f"the state directory {directory} holds other things than consumerd's state: {ADVICE}, "
                "for instance a new one inside it"
            )


def _default(environ: Mapping[str, str], uid: int) -> Path:
    configured = environ.get("XDG_STATE_HOME", "")
    if configured.startswith("/"):
        return Path(configured) / "consumerd"
    if uid == 0:
        return ROOT_DEFAULT
    home = environ.get("HOME", "")
    if home.startswith("/"):
        return Path(home) / ".local" / "state" / "consumerd"
    raise StateDirectoryError("there is no HOME to keep the state in: name a directory with --state-dir")


def _check_writable(directory: Path) -> None:
    """Make a file and remove it: a read-only file system shows in nothing less, to root in particular."""
    probe = directory / f".writable.{os.getpid()}"
    os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC, 0o600))
    probe.unlink()


def write_whole(file: Path, content: str) -> None:
    """Replace a file in the state directory: whole or not at all, also when the machine stops in between. OSError."""
    draft = file.with_name(file.name + ".new")
    fd = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
