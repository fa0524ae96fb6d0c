"""Payment notification to game server: a loop over the table `payment_notification`.

`notifications.py WORKER WORKERS`: each process takes the rows of its number.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Any

from sqlalchemy import Row, text

from gop_consumer import database, notification_manager

TIMEOUT = float(os.environ.get("NOTIFICATION_TIMEOUT", "10"))
BACK_OFF = float(os.environ.get("NOTIFICATION_BACK_OFF", "10"))
MAX_BACK_OFF = float(os.environ.get("NOTIFICATION_MAX_BACK_OFF", "7200"))
EXPIRE = float(os.environ.get("NOTIFICATION_EXPIRE", str(4 * 24 * 3600)))

SELECT = text(
    "SELECT id, app_id, body, attempts, first_at FROM payment_notification"
    " WHERE state = 'pending' AND due_at <= :now AND id % :workers = :worker ORDER BY due_at LIMIT 100"
)
DONE = text("UPDATE payment_notification SET state = 'done', settled_at = :now WHERE id = :id")
DEAD = text("UPDATE payment_notification SET state = 'dead', settled_at = :now WHERE id = :id")
LATER = text(
    "UPDATE payment_notification SET attempts = :attempts, first_at = :first_at, due_at = :due_at WHERE id = :id"
)

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
log = logging.getLogger("notifications")


def notify(row: Row[Any]) -> None:
    with database.engine().connect() as connection:
        hook = notification_manager.get_webhook(connection, row.app_id)
    if hook is None or hook.is_gone:
        log.error("no_endpoint|id=%d,app_id=%d", row.id, row.app_id)
        with database.engine().begin() as connection:
            connection.execute(DEAD, {"id": row.id, "now": time.time()})
        return
    answer = notification_manager.deliver(hook, row.id, row.body.encode(), timeout_s=TIMEOUT)
    now, attempts = time.time(), row.attempts + 1
    first_at = row.first_at or now
    with database.engine().begin() as connection:
        notification_manager.note_attempt(connection, hook, row.id, attempts, answer)
        if answer.is_taken:
            connection.execute(DONE, {"id": row.id, "now": now})
        elif now - first_at > EXPIRE:
            log.error("expired|id=%d,status=%s,error=%s", row.id, answer.status, answer.error)
            connection.execute(DEAD, {"id": row.id, "now": now})
        else:
            log.warning("retry|id=%d,attempts=%d,status=%s,error=%s", row.id, attempts, answer.status, answer.error)
            due_at = now + min(BACK_OFF * 2 ** min(attempts - 1, 20), MAX_BACK_OFF)
            connection.execute(LATER, {"id": row.id, "attempts": attempts, "first_at": first_at, "due_at": due_at})


def main() -> None:
    worker, workers = int(sys.argv[1]), int(sys.argv[2])
    while True:
        try:
            with database.engine().connect() as connection:
                rows = connection.execute(SELECT, {"now": time.time(), "worker": worker, "workers": workers}).all()
        except Exception:
            log.exception("select_error")
            time.sleep(5)
            continue
        for row in rows:
            try:
                notify(row)
            except Exception:
                log.exception("notify_error|id=%d", row.id)
        if not rows:
            time.sleep(1)


if __name__ == "__main__":
    main()
