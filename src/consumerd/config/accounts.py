"""Accounts of this machine, as whom a consumer's processes may run. Imports nothing heavy."""

from __future__ import annotations

import pwd
from dataclasses import dataclass

from consumerd.config.secrets import UnresolvedError


@dataclass(frozen=True, slots=True)
class Account:
    """One account. environment: what a login sets; consumerd does as a service manager does."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}


def account_of(user: str | int) -> Account:
    """The account of a name, or of a uid, as a number or as text; UnresolvedError with one sentence."""
    try:
        found = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except (KeyError, OverflowError, ValueError) as error:
        if isinstance(user, str) and user.isascii() and user.isdigit():
            return account_of(int(user))
        raise UnresolvedError(
            f"there is no user {user!r} on this machine: name one that there is, or give a key of your own another name"
        ) from error
    return Account(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir, found.pw_shell)
