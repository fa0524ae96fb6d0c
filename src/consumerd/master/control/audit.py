"""The audit log: who did what, when, how it ended, and what became of it later; a JSON object a line.

Runs in the master.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from consumerd import clock, events
from consumerd.events.facts import Audience, Fact


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of the control socket, as the kernel says."""

    pid: int
    uid: int

    @property
    def user(self) -> str:
        """The user's name, or the number of one that has none here."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)


class AuditLog:
    """Appends to a file, 0600. What cannot be written is said in the log, once; the act itself is not held up."""

    def __init__(self, path: Path, emit: Callable[[Fact], None]) -> None:
        self._path = path
        self._emit = emit
        self._is_broken = False

    def __call__(self, fact: Fact) -> None:
        """A listener: notes what became later of a change that somebody had asked for."""
        if Audience.AUDIT in events.audience_of(fact):
            self._append({"at": clock.iso(clock.wall()), "event": fact.name, **fact.fields})

    def note(self, peer: Peer, method: str, params: object, failed: str | None, *, via: str = "") -> None:
        """failed: the sentence with which it was refused, or None. via: in whose name the peer asked."""
        who: dict[str, object] = {"user": peer.user, "uid": peer.uid, "pid": peer.pid}
        who |= {"via": via} if via else {}
        self._append({"at": clock.iso(clock.wall()), **who, "method": method, "params": params, "failed": failed})

    def _append(self, entry: Mapping[str, object]) -> None:
        line = json.dumps(entry, separators=(",", ":"), default=str).encode() + b"\n"
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._report(error)
        else:
            self._is_broken = False

    def _report(self, error: OSError) -> None:
        if not self._is_broken:
            self._is_broken = True
            self._emit(events.audit_failed(file=str(self._path), error=str(error)))
