"""PostgreSQL with a data folder of its own."""

import secrets
import shutil
import signal
from pathlib import Path

from servers.accounts import private_folder, server_account
from servers.database import DatabaseServer, answers
from servers.packages import UnavailableError, advice, find_program, install
from servers.ports import free_port, is_open
from servers.process import Plan, ServerProcess

_PACKAGES = ("postgresql",)
_DEBIAN = Path("/usr/lib/postgresql")

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "fsync": "off",  # what a killed server had committed is still in the page cache
    "full_page_writes": "off",
}


def launch_postgres() -> DatabaseServer:
    """Start a server of our own on a free port of the loopback interface."""
    binaries = ensure_installed()
    account = server_account("postgres")
    folder = private_folder("postgres", account)
    port, password = free_port(), secrets.token_hex(12)
    password_file = folder / "password"
    password_file.write_text(password)
    settings = _SETTINGS | {"port": str(port)}
    access = ("--username=consumerd", "--auth=password", f"--pwfile={password_file}")
    plan = Plan(
        name="PostgreSQL",
        folder=folder,
        prepare=(
            (f"{binaries}/initdb", f"--pgdata={folder}/data", "--no-sync", "--no-locale", "--encoding=UTF8", *access),
        ),
        command=(
            f"{binaries}/postgres",
            "-D",
            f"{folder}/data",
            *(f"--{name}={value}" for name, value in settings.items()),
        ),
        account=account,
        stop_signal=signal.SIGINT,  # does not wait for the clients to leave, as SIGTERM does
        end_signal=signal.SIGQUIT,  # at once, but gives its shared memory back
    )
    url = f"postgresql+psycopg://consumerd:{password}@127.0.0.1:{port}/postgres"
    return DatabaseServer(url, ServerProcess.launch(plan, lambda: is_open(port) and answers(url)))


def ensure_installed() -> Path:
    """The folder with initdb and postgres, after installing them where they are missing."""
    if binaries := _find_binaries():
        return binaries
    install(_PACKAGES)
    if binaries := _find_binaries():
        return binaries
    raise UnavailableError(f"no PostgreSQL server found; {advice(_PACKAGES)}")


def _find_binaries() -> Path | None:
    """The newest of Debian's, which are on nobody's PATH, else those on the PATH."""
    debian = [path.parent for path in _DEBIAN.glob("*/bin/postgres") if path.with_name("initdb").exists()]
    if debian:
        return max(debian, key=lambda path: int(path.parent.name))
    initdb = find_program("initdb")
    if initdb is None or shutil.which("postgres", path=str(Path(initdb).parent)) is None:
        return None
    return Path(initdb).parent
