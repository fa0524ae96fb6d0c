"""MariaDB with a data folder of its own."""

import secrets

from servers.accounts import private_folder, server_account
from servers.database import DatabaseServer, answers
from servers.packages import require_programs
from servers.ports import free_port, is_open
from servers.process import Plan, ServerProcess

# The parts without the system's service: installing them starts nothing.
_PACKAGES = ("mariadb-server-core", "mariadb-client-core")

_SETTINGS = {
    "skip-name-resolve": "ON",
    "character-set-server": "utf8mb4",
    "max-connections": "300",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "32M",
    "innodb-flush-log-at-trx-commit": "2",  # survives a killed server, which is what tests do; not a lost machine
    "innodb-doublewrite": "OFF",
}


def launch_mariadb() -> DatabaseServer:
    """Start a server of our own on a free port of the loopback interface."""
    mariadbd, install_db = ensure_installed()
    account = server_account("mysql")
    folder = private_folder("mariadb", account)
    port, password = free_port(), secrets.token_hex(12)
    first_statements = folder / "account.sql"
    first_statements.write_text(
        f"CREATE USER IF NOT EXISTS consumerd@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        "GRANT ALL ON *.* TO consumerd@'127.0.0.1' WITH GRANT OPTION;\n"
    )
    places = {
        "datadir": f"{folder}/data",
        "socket": f"{folder}/socket",
        "pid-file": f"{folder}/pid",
        "init-file": str(first_statements),
        "bind-address": "127.0.0.1",
        "port": str(port),
    }
    plan = Plan(
        name="MariaDB",
        folder=folder,
        prepare=((install_db, "--no-defaults", f"--datadir={folder}/data", "--skip-test-db"),),
        command=(mariadbd, "--no-defaults", *(f"--{name}={value}" for name, value in (_SETTINGS | places).items())),
        account=account,
    )
    url = f"mysql+pymysql://consumerd:{password}@127.0.0.1:{port}/?charset=utf8mb4"
    return DatabaseServer(url, ServerProcess.launch(plan, lambda: is_open(port) and answers(url)))


def ensure_installed() -> tuple[str, str]:
    """The paths of mariadbd and mariadb-install-db, after installing them where they are missing."""
    programs = require_programs(("mariadbd", "mariadb-install-db", "my_print_defaults"), _PACKAGES)
    return programs["mariadbd"], programs["mariadb-install-db"]
