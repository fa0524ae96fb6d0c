"""References to secrets: `${NAME}` for an environment variable, `file:PATH` for a file. Imports nothing heavy.

A reference travels as it is written, and is resolved where its value is used. The value is never written anywhere.
`${NAME}` may stand anywhere in a text; `file:PATH` is the whole text, and the path may be relative to the
configuration's directory. `$${` is a plain `${`, and `$$file:` a plain `file:`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consumerd.config.problems import KeyPath
from consumerd.config.redaction import secret_parts

LARGEST_FILE_BYTES = 65_536

SHOWN_KEYS = frozenset(
    {"brokers", "topic_name", "consumer_group", "database", "table", "directory", "env_file", "user"}
)
"""Keys whose values are shown, without the passwords in them: people must see them to know what is meant."""

_HOST = re.compile(r"://(?:[^/?#]*@)?([^/?#]*)")
_REFERENCE = re.compile(r"(\$\$\{)|\$\{([^}]*)(\}?)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE = "file:"
_PLAIN_FILE = "$$file:"


class UnresolvedError(Exception):
    """What a text refers to is not there. The message is a sentence; who catches it says where the text stands."""


def has_reference(value: object) -> bool:
    """Whether a text holds a reference, so that it must be resolved before it is used."""
    if not isinstance(value, str):
        return False
    return value.startswith(_FILE) or any(not match[1] for match in _REFERENCE.finditer(value))


@dataclass(slots=True)
class Resolved:
    """A value with its references resolved, and what was found in it.

    secrets: what they stood for, and must not be shown.
    failures: the path and the sentence of each that stands for nothing; its text is left as it was.
    places: the paths where a reference stood.
    """

    value: Any = None  # plain data of any shape
    secrets: set[str] = field(default_factory=set)
    failures: list[tuple[KeyPath, str]] = field(default_factory=list)
    places: set[KeyPath] = field(default_factory=set)

    def known(self, keys: Container[str] | None = None) -> dict[str, Any]:  # as the value
        """Of a table, what is at these keys (None: at all), without those that a failure is in."""
        failed = {steps[0] for steps, _ in self.failures}
        return {key: item for key, item in self.value.items() if key not in failed and (keys is None or key in keys)}

    def note_secrets(self, resolved: str, values: set[str], path: KeyPath) -> None:
        """Note every value as a secret, but addresses, names and paths: of those only the passwords within them."""
        parts = {part for part in secret_parts(resolved) if any(value in part or part in value for value in values)}
        is_shown = bool(path) and (path[-1] in SHOWN_KEYS or str(path[-1]).endswith(".location"))
        host = _HOST.search(resolved) if resolved not in values else None
        shown = {value for value in values if is_shown or (host is not None and value in host[1])}
        self.secrets |= parts | {
            value for value in values if value not in shown or any(value in part for part in parts)
        }


@dataclass(frozen=True, slots=True)
class Resolver:
    """Resolves references: variables from `environ`, relative files from `directory`."""

    environ: Mapping[str, str]
    directory: Path = Path()

    def resolve(self, value: object, *, but: Container[str] = ()) -> Resolved:
        """Resolve every reference in a text, list or table, but for these keys of it. Reads files; raises nothing."""
        found = Resolved()
        found.value = self._visit(value, (), found, but)
        return found

    def read_variable(self, name: str) -> str:
        """The value of an environment variable, or UnresolvedError."""
        if not _VARIABLE.fullmatch(name):
            raise UnresolvedError(f"${{{name}}} is no name of a variable: write ${{NAME}}, or $${{ for a plain ${{")
        value = self.environ.get(name)
        if value is None:
            raise UnresolvedError(f"the environment variable {name} is not set: export it, or remove ${{{name}}}")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise UnresolvedError(f"the environment variable {name} is not UTF-8")
        return value

    def read_file(self, reference: str) -> str:
        """The text of the file behind `file:PATH`, without its last newline, or UnresolvedError."""
        name = reference.removeprefix(_FILE)
        return read_text(self.directory / (name[2:] if name.startswith("///") else name))

    def _visit(self, value: object, path: KeyPath, found: Resolved, but: Container[str] = ()) -> object:
        if isinstance(value, dict):
            return {key: item if key in but else self._visit(item, (*path, key), found) for key, item in value.items()}
        if isinstance(value, list):
            return [self._visit(item, (*path, index), found) for index, item in enumerate(value)]
        return self._text(value, path, found) if isinstance(value, str) else value

    def _text(self, text: str, path: KeyPath, found: Resolved) -> str:
        if has_reference(text):
            found.places.add(path)
        values: set[str] = set()
        try:
            resolved = self._resolved(text, values)
        except UnresolvedError as error:
            found.failures.append((path, str(error)))
            resolved = text
        found.note_secrets(resolved, values, path)
        return resolved

    def _resolved(self, text: str, values: set[str]) -> str:
        """The text; `values` takes what its references stood for."""
        if text.startswith(_FILE):
            values.add(content := self.read_file(text))
            return content
        plain = text.removeprefix("$$") if text.startswith(_PLAIN_FILE) else text
        return _REFERENCE.sub(lambda match: self._reference(match, values), plain)

    def _reference(self, match: re.Match[str], values: set[str]) -> str:
        if match[1]:
            return "${"
        if not match[3]:
            raise UnresolvedError("'${' is never closed: write ${NAME}, or $${ for a plain ${")
        value = self.read_variable(match[2])
        values.add(value)
        return value


def read_text(path: Path) -> str:
    """A small regular file's text, without a byte order mark and its last newline, or UnresolvedError."""
    reason: object = "it is not UTF-8"
    try:
        content = read_bytes(path, LARGEST_FILE_BYTES)
        with suppress(UnicodeDecodeError):
            return content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
    raise UnresolvedError(f"the file {str(path)!r} cannot be read ({reason}): check the path")


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """A regular file's bytes. OSError; ValueError for another file, or a path that no file can have.

    It is opened without waiting: a FIFO without a writer would hold the process for ever.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("it is not a regular file")
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it has more than {most_bytes} bytes")
    return content
