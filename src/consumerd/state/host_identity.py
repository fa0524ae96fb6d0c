"""The identity of a state directory: random, made once, and bound to its machine and place.

The identity is a part of each worker's `group.instance.id`, which must differ between hosts and masters: two members
with one id throw each other out. A directory that was copied, to another machine or beside itself, gets a new one.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
from pathlib import Path

from consumerd.errors import StateDirectoryError
from consumerd.state.state_dir import ADVICE, StateDirectory, write_whole

MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


def own_id(directory: StateDirectory, machine: str | None = None) -> str:
    """The directory's id, 16 hexadecimal digits, made now where there is none, or none of this machine and place.

    Only the master, which holds the directory's lock, may call this: two callers could make two ids.
    """
    binding = _binding(machine if machine is not None else machine_id(), directory.path)
    try:
        found = _read(directory.id_file)
        if found.get("bound_to") == binding and found.get("id"):
            return found["id"]
        made = secrets.token_hex(8)
        _write(directory, made, binding)
    except OSError as error:
        raise StateDirectoryError(f"{directory.id_file} cannot be used ({error.strerror}): {ADVICE}") from error
    return made


def known_id(directory: StateDirectory) -> str | None:
    """The directory's id, for others than its master; None where it has none of this machine and place, or they may not
    read it.
    """
    try:
        found = _read(directory.id_file)
    except OSError:
        return None
    return found.get("id") if found.get("bound_to") == _binding(machine_id(), directory.path) else None


def keep_id(directory: StateDirectory, known: str) -> None:
    """Write the id that this directory had, where the directory is made anew. OSError."""
    _write(directory, known, _binding(machine_id(), directory.path))


def machine_id() -> str:
    """What tells this machine from others: systemd's machine id, or the host name where there is none."""
    for file in MACHINE_ID_FILES:
        try:
            text = file.read_text("ascii", "replace").strip()
        except OSError:
            continue
        if text:
            return text
    return socket.gethostname()


def _binding(machine: str, path: Path) -> str:
    """A digest, since machine-id(5) asks that the machine id itself be shown to nobody."""
    return hashlib.sha256(f"consumerd\0{machine}\0{path.resolve()}".encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _read(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text("ascii", "replace").splitlines()
    except FileNotFoundError:
        return {}
    return {key: value.strip() for key, _, value in (line.partition("=") for line in lines)}


def _write(directory: StateDirectory, made: str, binding: str) -> None:
    write_whole(directory.id_file, f"id={made}\nbound_to={binding}\n")
