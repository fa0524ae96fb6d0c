"""Archive old data: when it starts, and then once a day."""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gop_consumer import archive_manager, database

DAYS = float(os.environ.get("ARCHIVE_DAYS", "90"))
PAGE = int(os.environ.get("ARCHIVE_PAGE", "1000"))
FOLDER = os.environ.get("GOP_ARCHIVE")
PAUSE = 0.05
A_DAY = 24 * 3600

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
log = logging.getLogger("archive")


def archive() -> None:
    before = datetime.now(UTC) - timedelta(days=DAYS)
    keep = archive_manager.into_files(Path(FOLDER)) if FOLDER else archive_manager.into_table
    for table in archive_manager.TABLES:
        while True:
            with database.engine().begin() as connection:
                rows = archive_manager.archive_page(connection, table, before, PAGE, keep)
            log.info("archived|table=%s,rows=%d", table.name, rows)
            if rows < PAGE:
                break
            time.sleep(PAUSE)


def main() -> None:
    while True:
        try:
            archive()
        except Exception:
            log.exception("archive_error")
        time.sleep(A_DAY)


if __name__ == "__main__":
    main()
