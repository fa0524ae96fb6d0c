"""`python -m consumerd.metrics grafana`, `… alerts`: print what is shipped for servers of metrics."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from consumerd.metrics.alerts import alerts
from consumerd.metrics.grafana import dashboard

SHIPPED: Mapping[str, Callable[[], str]] = {"grafana": dashboard, "alerts": alerts}


def main(arguments: list[str]) -> int:
    """The top of the process."""
    if len(arguments) != 1 or arguments[0] not in SHIPPED:
        sys.stderr.write(f"python -m consumerd.metrics wants one word: {' or '.join(SHIPPED)}\n")
        return 2
    sys.stdout.write(SHIPPED[arguments[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
