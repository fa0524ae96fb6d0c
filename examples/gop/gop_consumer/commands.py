"""What people do by hand: `python -m gop_consumer.commands --help`. The database is that of GOP_DATABASE."""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gop_consumer import archive_manager, database, notification_manager, payment_manager

NOTIFICATIONS = "gop_payments/notifications"


def attempts(arguments: argparse.Namespace) -> int:
    """The attempts at one notification, and when the next one is."""
    with database.engine().connect() as connection:
        made, standing = notification_manager.attempts_of(connection, arguments.notification)
    for each in made:
        print(
            each["attempt"],
            each["attempted_at"],
            each["status"] or "-",
            f"{each['latency_ms']} ms",
            each["error"] or "",
        )
    if standing is None:
        return _say(f"there is no notification {arguments.notification}", 1)
    due = datetime.fromtimestamp(standing["due_at"], UTC)
    return _say(
        f"{standing['state']}, next at {due:%Y-%m-%d %H:%M:%S} UTC"
        if standing["state"] == "pending"
        else standing["state"]
    )


def recover(arguments: argparse.Namespace) -> int:
    """Send to an app again, and try all of its notifications again that were given up since then."""
    with database.engine().begin() as connection:
        if not notification_manager.bring_back(connection, arguments.app, arguments.url):
            return _say(f"no app {arguments.app} has a webhook", 1)
    chosen = ["--all", "--yes", "--target", arguments.target, "--state", "dead", "--error", f"app {arguments.app}:"]
    command = [sys.executable, "-m", "consumerd", "parked", "retry", *chosen, "--since", arguments.since]
    return subprocess.run(command, check=False).returncode


def report(arguments: argparse.Namespace) -> int:
    """What became of the payments that channels were asked about; exit code 1 where a person has to look."""
    del arguments
    with database.engine().connect() as connection:
        found = payment_manager.report(connection)
    counts = (
        f"found {found.found}, mended {found.mended}, by callback {found.by_callback}, still open {found.still_open}"
    )
    return _say(f"{counts}, failed {len(found.failed)} {list(found.failed) or ''}".rstrip(), 1 if found.failed else 0)


def plan(arguments: argparse.Namespace) -> int:
    """What the archive would take now, as it counts days and pages; nothing is changed."""
    before = datetime.now(UTC) - timedelta(days=arguments.days)
    with database.engine().connect() as connection:
        for aging in archive_manager.TABLES:
            found = archive_manager.plan(connection, aging, before, arguments.page)
            span = f", {found.oldest} to {found.newest}" if found.rows else ""
            print(f"{found.table}: {found.rows} rows in {found.pages} pages{span}")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    """Put the rows of archived files back, and set the files aside."""
    for path in arguments.files:
        with database.engine().begin() as connection:
            rows = archive_manager.restore(connection, path)
        in_all = len(archive_manager.read_rows(path))
        archive_manager.set_aside(path)
        left_out = "" if rows == in_all else f"; {in_all - rows} were there already, and were left as they are"
        print(f"{path}: {rows} rows are back{left_out}")
    return 0


def _say(sentence: str, code: int = 0) -> int:
    print(sentence)
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for command in (attempts, recover, report, plan, restore):
        commands.add_parser(command.__name__, help=command.__doc__).set_defaults(command=command)
    commands.choices["attempts"].add_argument("notification", type=int)
    commands.choices["recover"].add_argument("--app", type=int, required=True)
    commands.choices["recover"].add_argument("--since", required=True, help="2h, 3d, or 2026-11-28T12:00, UTC")
    commands.choices["recover"].add_argument("--url", help="where the app takes notifications from now on")
    commands.choices["recover"].add_argument("--target", default=NOTIFICATIONS)
    commands.choices["plan"].add_argument("--days", type=float, default=90)
    commands.choices["plan"].add_argument("--page", type=int, default=1000)
    commands.choices["restore"].add_argument("files", type=Path, nargs="+", metavar="FILE")
    arguments = parser.parse_args()
    return int(arguments.command(arguments))


if __name__ == "__main__":
    sys.exit(main())
