"""The operating-system accounts that servers run as, and the folders that they own."""

import os
import pwd
import shutil
import tempfile
from pathlib import Path


def server_account(preferred: str) -> str | None:
    """The account for a server that refuses to run as root, or None where we are not root and run it ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return preferred if preferred in known else "nobody"


def private_folder(name: str, account: str | None = None) -> Path:
    """A fresh folder for a server, owned by `account`; its path is short, since a socket's is limited to 107 bytes."""
    parent = "/tmp" if os.access("/tmp", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix=f"consumerd-{name}-", dir=parent))
    if account is not None:
        shutil.chown(folder, account, pwd.getpwnam(account).pw_gid)
    return folder
