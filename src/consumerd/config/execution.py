"""Execution: the surroundings in which a consumer's processes are executed. Imports nothing heavy.

The environment is the master's; over it lie what a login as the `user` would set, the `env_file`, and `environment`,
whose references are resolved there: in the process that becomes the consumer's, before it takes on its user.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consumerd.config.accounts import Account, account_of
from consumerd.config.env_file import is_variable_name, read_env_file
from consumerd.config.problems import Path as Place
from consumerd.config.secrets import Resolver, UnresolvedError, has_reference

AS_WRITTEN = frozenset({"environment"})
"""Common keys that the master does not resolve: what their references stand for is the consumer's alone."""

ROOT = 0


@dataclass(frozen=True, slots=True)
class Execution:
    """What an entry says of its processes' surroundings. base: to which relative paths, and `file:`, are relative."""

    base: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    env_file: str | None = None
    directory: str | None = None
    user: str | int | None = None
    nice: int | None = None

    @classmethod
    def of(cls, common: Mapping[str, Any], base: Path) -> Execution:  # plain data of a valid entry
        """From an entry's common keys."""
        keys = ("environment", "env_file", "directory", "user", "nice")
        return cls(base, **{key: common[key] for key in keys if common.get(key) is not None})

    @property
    def is_plain(self) -> bool:
        """Whether the processes are executed as the master is."""
        return self == Execution(self.base)

    def account(self) -> Account | None:
        """As whom; None as the master. UnresolvedError."""
        return None if self.user is None else account_of(self.user)

    def path_of_directory(self) -> Path | None:
        return None if self.directory is None else self.base / self.directory

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The whole environment, over `environ`. Reads files; UnresolvedError, also where several things are wrong."""
        account = self.account()
        below = {**environ, **({} if account is None else account.environment), **self._read_env_file()}
        resolved = Resolver(below, self.base).resolve(dict(self.environment))
        for (name, *_), sentence in resolved.failures:
            raise UnresolvedError(f"environment.{name}: {sentence}")
        return {**below, **resolved.value}

    def _read_env_file(self) -> dict[str, str]:
        return {} if self.env_file is None else read_env_file(self.base / self.env_file)

    def complaints(self, environ: Mapping[str, str], uid: int) -> list[tuple[Place, str]]:
        """All that is wrong here and now, for a master of this uid: a place among the common keys, and a sentence."""
        found: list[tuple[Place, str]] = []
        try:
            below = {**environ, **self._read_env_file()}
        except UnresolvedError as error:
            below = dict(environ)
            found.append((("env_file",), str(error)))
        found += self._environment_complaints(Resolver(below, self.base))
        directory = self.path_of_directory()
        if directory is not None and not directory.is_dir():
            found.append((("directory",), f"there is no directory {str(directory)!r}: make it, or name another"))
        found += [(("user",), sentence) for sentence in self._user_complaints(uid)]
        return found

    def _environment_complaints(self, resolver: Resolver) -> list[tuple[Place, str]]:
        names = [name for name in self.environment if not is_variable_name(name)]
        found: list[tuple[Place, str]] = [
            (("environment", name), "is no name of a variable: it is empty, or has white space or '=' in it")
            for name in names
        ]
        nul = [name for name, text in self.environment.items() if "\0" in text]
        found += [(("environment", name), "has a NUL character, which no variable can have") for name in nul]
        resolved = resolver.resolve(dict(self.environment))
        return found + [(("environment", *steps), sentence) for steps, sentence in resolved.failures]

    def _user_complaints(self, uid: int) -> list[str]:
        try:
            account = self.account()
        except UnresolvedError as error:
            return [str(error)]
        if account is None or account.uid == uid or uid == ROOT:
            return []
        return [f"only root can run processes as {account.name!r}: run consumerd as root or as that user"]

    def is_of_another_user(self, uid: int) -> bool:
        """Whether the processes run as somebody else than a master of this uid; not where nobody knows who that is."""
        try:
            account = self.account()
        except UnresolvedError:
            return False
        return account is not None and account.uid != uid


def secrets_of_environment(written: object, environ: Mapping[str, str], base: Path) -> frozenset[str]:
    """What the references in a written `environment` stood for, in a process that was executed with it."""
    if not isinstance(written, dict):
        return frozenset()
    referring = {name: text for name, text in written.items() if has_reference(text)}
    whole = {environ[name] for name in referring if name in environ}
    return frozenset(whole) | Resolver(environ, base).resolve(referring).secrets


def own_uid() -> int:
    """Of this process."""
    return os.geteuid()
