"""Execution: the environment, directory, user and priority with which a consumer's processes are executed.

The environment is the master's; over it lie what a login as the `user` would set, the `env_file`, and `environment`,
whose references are resolved in the process that becomes the consumer's, before it takes on its user. Imports nothing
heavy.
"""

from __future__ import annotations

import pwd
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consumerd.config.problems import KeyPath
from consumerd.config.secrets import Resolver, UnresolvedError, has_reference, read_text

EXECUTION_KEYS = ("environment", "env_file", "directory", "user", "nice")
"""The common keys of an execution."""

AS_WRITTEN = frozenset({"environment"})
"""Common keys that travel unresolved: what their references stand for is the consumer's alone."""

ROOT = 0

_QUOTES = ('"', "'")

Account = pwd.struct_passwd
"""An account of this machine, as the system describes it."""

Complaint = tuple[KeyPath, str]
"""A path among the common keys, and a sentence about what stands there."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How an entry's processes are executed. Each field but `base` is the common key of its name.

    base: the directory to which relative paths, and `file:`, are relative.
    """

    base: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    env_file: str | None = None
    directory: str | None = None
    user: str | int | None = None
    nice: int | None = None

    @classmethod
    def of(cls, common: Mapping[str, Any], base: Path) -> Execution:  # plain data of a valid entry
        """From an entry's common keys."""
        return cls(base, **{key: common[key] for key in EXECUTION_KEYS if common.get(key) is not None})

    @property
    def is_plain(self) -> bool:
        """Whether the processes are executed as the master is."""
        return self == Execution(self.base)

    def account(self) -> Account | None:
        """The account of the `user`; None where the processes run as the master does. UnresolvedError."""
        return None if self.user is None else account_of(self.user)

    def path_of_directory(self) -> Path | None:
        return None if self.directory is None else self.base / self.directory

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The whole environment, over `environ`. Reads files; UnresolvedError for the first mistake."""
        variables, complaints = self._resolved(environ)
        for (key, *steps), sentence in complaints:
            raise UnresolvedError(f"{key}.{steps[0]}: {sentence}" if steps else sentence)
        return variables

    def examine(self, environ: Mapping[str, str], uid: int) -> tuple[dict[str, str], list[Complaint]]:
        """The environment as far as it can be known, and all that is wrong here and now, for a master of this uid."""
        variables, found = self._resolved(environ)
        for name, text in self.environment.items():
            if not is_variable_name(name):
                why = "is no name of a variable: it is empty, or has white space or '=' in it"
                found.append((("environment", name), why))
            if "\0" in text:
                found.append((("environment", name), "has a NUL character, which no variable can have"))
        directory = self.path_of_directory()
        if directory is not None and not directory.is_dir():
            found.append((("directory",), f"there is no directory {str(directory)!r}: make it, or name another"))
        account = self._known_account()
        if account is not None and uid not in (account.pw_uid, ROOT):
            why = f"only root can run processes as {account.pw_name!r}: run consumerd as root or as that user"
            found.append((("user",), why))
        return variables, found

    def _resolved(self, environ: Mapping[str, str]) -> tuple[dict[str, str], list[Complaint]]:
        """The environment, layer by layer, without what stands for nothing, and why it does."""
        variables, found = dict(environ), list[Complaint]()
        try:
            variables |= _login_variables(self.account())
        except UnresolvedError as error:
            found.append((("user",), str(error)))
        try:
            variables |= {} if self.env_file is None else read_env_file(self.base / self.env_file)
        except UnresolvedError as error:
            found.append((("env_file",), str(error)))
        resolved = Resolver(variables, self.base).resolve(dict(self.environment))
        found += [(("environment", *steps), sentence) for steps, sentence in resolved.failures]
        return variables | resolved.value, found

    def is_of_another_user(self, uid: int) -> bool:
        """Whether the processes run as somebody else than a master of this uid; not where nobody knows who that is."""
        account = self._known_account()
        return account is not None and account.pw_uid != uid

    def _known_account(self) -> Account | None:
        with suppress(UnresolvedError):
            return self.account()
        return None


def secrets_of_environment(written: object, environ: Mapping[str, str], base: Path) -> frozenset[str]:
    """What the references in a written `environment` stood for, in a process that was executed with it."""
    if not isinstance(written, dict):
        return frozenset()
    referring = {name: text for name, text in written.items() if has_reference(text)}
    whole = {environ[name] for name in referring if name in environ}
    return frozenset(whole) | Resolver(environ, base).resolve(referring).secrets


def account_of(user: str | int) -> Account:
    """The account of a name, or of a uid, as a number or as text; UnresolvedError with one sentence."""
    try:
        return pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except (KeyError, OverflowError, ValueError) as error:
        if isinstance(user, str) and user.isascii() and user.isdigit():
            return account_of(int(user))
        raise UnresolvedError(
            f"there is no user {user!r} on this machine: name one that there is, or give a key of your own another name"
        ) from error


def _login_variables(account: Account | None) -> dict[str, str]:
    """What a login as this user sets; consumerd does as a service manager does."""
    if account is None:
        return {}
    name = account.pw_name
    return {"HOME": account.pw_dir, "USER": name, "LOGNAME": name, "SHELL": account.pw_shell}


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a file, the last of a name; UnresolvedError with one sentence, which holds no value."""
    try:
        return parse_env_file(read_text(path))
    except ValueError as error:
        raise UnresolvedError(f"the file {str(path)!r} is no environment file: {error}") from error


def parse_env_file(text: str) -> dict[str, str]:
    """The variables of lines `KEY=VALUE`. ValueError names the first line that is none.

    Blank lines and lines that begin with `#` are skipped. White space around the key and the value is left out, and so
    is one pair of quotes around the whole value; nothing else has a meaning, so that a password may hold any character.
    """
    variables = {}
    for number, line in enumerate(text.split("\n"), start=1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        key, separator, value = (part.strip() for part in written.partition("="))
        if not separator or not is_variable_name(key) or "\0" in value:
            raise ValueError(f"line {number} is not KEY=VALUE")
        is_quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in _QUOTES
        variables[key] = value[1:-1] if is_quoted else value
    return variables


def is_variable_name(name: str) -> bool:
    """Whether the system could give a variable of this name to a process, and a person could mean it."""
    return bool(name) and not any(character in "=\0" or character.isspace() for character in name)
