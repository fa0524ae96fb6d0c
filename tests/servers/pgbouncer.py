"""PgBouncer in transaction mode, before a PostgreSQL server: each transaction may get another of two connections."""

from sqlalchemy import URL

from servers.accounts import private_folder, server_account
from servers.database import DatabaseServer, answers
from servers.packages import require_programs
from servers.ports import free_port, is_open
from servers.process import Plan, ServerProcess

_PACKAGES = ("pgbouncer",)


def launch_pgbouncer(server: URL) -> DatabaseServer:
    """Start a pooler of our own on a free port of the loopback interface; whoever comes is the server's own user."""
    program = ensure_installed()
    account = server_account("postgres")
    folder = private_folder("pgbouncer", account)
    port = free_port()
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": 2,
        "max_client_conn": 300,
    }
    login = f"host={server.host} port={server.port} user={server.username} password={server.password}"
    lines = ["[databases]", f"* = {login}", "[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items())]
    configuration = folder / "pgbouncer.ini"
    configuration.write_text("\n".join(lines) + "\n")
    url = server.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    plan = Plan(name="PgBouncer", folder=folder, command=(program, str(configuration)), account=account, prepare=())
    return DatabaseServer(url, ServerProcess.launch(plan, lambda: is_open(port) and answers(url)))


def ensure_installed() -> str:
    """The path of pgbouncer, after installing it where it is missing."""
    return require_programs(("pgbouncer",), _PACKAGES)["pgbouncer"]
