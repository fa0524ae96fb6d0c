"""`python -m servers.install`: get what the tests' servers need, before a test's time limit runs.

Says a line for each server. What cannot be had fails the command under CI; elsewhere its tests are skipped.
"""

import sys
from collections.abc import Callable

from servers import browser, environment, kafka, mariadb, pgbouncer, postgres, prometheus
from servers.packages import UnavailableError

_INSTALLERS: dict[str, Callable[[], object]] = {
    "kafka": kafka.ensure_installed,
    "mariadb": mariadb.ensure_installed,
    "postgres": postgres.ensure_installed,
    "pgbouncer": pgbouncer.ensure_installed,
    "chromium": browser.ensure_installed,
    "promtool": prometheus.promtool,
}


def main() -> int:
    """The exit code: 1 under CI if a server cannot be had."""
    reasons = [reason for name in _INSTALLERS if (reason := _install(name))]
    return 1 if reasons and environment.is_ci() else 0


def _install(name: str) -> str | None:
    """Why the server cannot be had, or None."""
    if environment.foreign_address(name):
        print(f"{name}: the one that {environment.address_variable(name)} names")
        return None
    try:
        _INSTALLERS[name]()
    except UnavailableError as error:
        print(f"{name}: {error}")
        return str(error)
    print(f"{name}: installed")
    return None


if __name__ == "__main__":
    sys.exit(main())
