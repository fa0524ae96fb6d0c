"""A bell that wakes an idle worker of a pool: its table may have tasks. Runs in workers, and where tasks are added.

Each pool has a FIFO in a folder that all users of the host share. Its name is made of the database's name and the
table's, so that whoever adds tasks finds the bells of all pools on that table, and needs nothing else of them. The
workers that are idle wait at it, and the one that reads what was written looks at the table: one look a ring, however
many wait. One worker of the pool looks for all of them, and marks the bell as attended: then no other has to.

What is written means nothing but that. A bell that a stranger rings costs a look; where nobody can ring it, or it is
gone, tasks are found a little later.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import select
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Lock

from consumerd.database.urls import read_url
from consumerd.sources.table.options import TableOptions

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - shared on purpose; what is found there is checked
MOST_BELLS = 64
_MOST_TRIES = 10
_MOST_READ = 65_536


def folder_of_bells() -> Path:
    """Where all users' bells are: in memory, where the system has such a place."""
    return _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


class Bell:
    """The bell of one pool, as its workers have it. The loop's thread calls it, and the listening thread what it needs:
    `is_rung`, `attend` and `ring`.

    descriptor: can be read once the bell has been rung; None while there is no bell.
    """

    def __init__(self, options: TableOptions, pool: str | None, folder: Path | None = None) -> None:
        """pool: the name that its workers share; None for a worker that has no pool."""
        name = f"{_prefix(options)}{pool or os.getpid()}"
        self._path = (folder or folder_of_bells()) / name
        self.descriptor: int | None = None
        self._use = Lock()
        """While the listening thread uses the descriptor, it is not closed."""

    def hang(self) -> None:
        """Make it where it is missing, also where somebody has removed it; OSError where it cannot be made."""
        if self.descriptor is not None and _is_at(self.descriptor, self._path):
            return
        self._let_go()
        descriptor = _made_at(self._path)
        found = os.fstat(descriptor)
        if not stat.S_ISFIFO(found.st_mode) or found.st_uid != os.geteuid():
            os.close(descriptor)
            raise PermissionError(13, "it belongs to somebody else", str(self._path))
        self.descriptor = descriptor

    @property
    def is_rung(self) -> bool:
        """Whether a ring waits to be taken; so it is where nobody could hear one."""
        with self._use:
            if self.descriptor is None:
                return True
            poll = select.poll()
            poll.register(self.descriptor, select.POLLIN)
            return bool(poll.poll(0))

    def take(self) -> bool:
        """Whether it was rung, and nobody has taken that."""
        if self.descriptor is None:
            return False
        with suppress(BlockingIOError):
            return bool(os.read(self.descriptor, _MOST_READ))
        return False

    def attend(self) -> None:
        """Somebody looks for the pool now, and will ring."""
        with self._use, suppress(OSError):
            if self.descriptor is not None:
                os.utime(self.descriptor)

    def is_attended(self, now: float, within_s: float) -> bool:
        """Whether somebody has looked for the pool, or has rung, so short a time ago. now: seconds since the epoch."""
        return self.descriptor is not None and abs(now - os.fstat(self.descriptor).st_mtime) <= within_s

    def ring(self) -> None:
        """Have one idle worker of the pool look."""
        with self._use, suppress(OSError):  # also rung many times, and all are busy
            if self.descriptor is not None:
                os.write(self.descriptor, b"\n")

    def close(self) -> None:
        """Leave it to the pool's other workers; where there are none, it is removed."""
        if self.descriptor is not None:
            self._let_go()
            _ring_at(self._path)

    def _let_go(self) -> None:
        with self._use:
            descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def ring(options: TableOptions, folder: Path | None = None) -> None:
    """Have each pool of this host that works on the table look at it; nothing fails where that cannot be done."""
    place, prefix = folder or folder_of_bells(), _prefix(options)
    with suppress(OSError), os.scandir(place) as entries:
        bells = (entry.path for entry in entries if entry.name.startswith(prefix))
        for path in itertools.islice(bells, MOST_BELLS):
            _ring_at(path)


def _made_at(path: Path) -> int:
    """The FIFO there, opened; made where it is missing. Whoever rings at that moment removes it: nobody reads it."""
    for _ in range(_MOST_TRIES):
        with suppress(FileNotFoundError):
            return _made_once(path)
    return _made_once(path)


def _made_once(path: Path) -> int:
    with suppress(FileExistsError):
        os.mkfifo(path, 0o600)
        path.chmod(0o622)  # whoever adds tasks may ring, and only the workers hear
        os.utime(path, (0, 0))  # nobody has attended it yet
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)


def _ring_at(path: str | Path) -> None:
    """Write to a FIFO that somebody reads, and remove one that nobody does; whatever else is there is left alone."""
    with suppress(OSError):
        if not stat.S_ISFIFO(os.lstat(path).st_mode):
            return
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENXIO:
                os.unlink(path)  # noqa: PTH108 - the pool has ended; one that begins at this moment makes it anew
            return
        try:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                os.write(descriptor, b"\n")
        finally:
            os.close(descriptor)


def _prefix(options: TableOptions) -> str:
    """How the names of the bells of a table begin. The server's address is left out: it has many names."""
    if options.is_server:
        url = read_url(options.database, "database")
        place = [url.get_backend_name().replace("mariadb", "mysql"), url.database or url.username or ""]
    else:
        place = ["sqlite", os.path.realpath(options.path)]
    what = "\0".join([*place, options.table.rpartition(".")[2]])
    return f"consumerd-{hashlib.sha256(what.encode()).hexdigest()[:24]}-"


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.lstat()
    except OSError:
        return False
    mine = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
