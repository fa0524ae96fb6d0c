"""Check payment status: a loop over the table `payment_check`.

`checks.py WORKER WORKERS`: each process takes the rows of its number.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from typing import Any

from sqlalchemy import Row, text

from gop_consumer import asking, channel_client, database, payment_manager

CHANNELS = {"wechat": os.environ["GOP_WECHAT"], "unionpay": os.environ["GOP_UNIONPAY"]}
TIMEOUT = float(os.environ.get("CHECK_TIMEOUT", "10"))
RETRY = float(os.environ.get("CHECK_RETRY", "30"))
SCHEDULES = {
    "pending": json.loads(os.environ.get("CHECK_PENDING", "null")) or asking.PENDING,
    "unknown": json.loads(os.environ.get("CHECK_UNKNOWN", "null")) or asking.UNKNOWN,
}

SELECT = text(
    "SELECT id, payment_id, first_at FROM payment_check"
    " WHERE state = 'pending' AND due_at <= :now AND id % :workers = :worker ORDER BY due_at LIMIT 100"
)
DONE = text("UPDATE payment_check SET state = 'done', settled_at = :now WHERE id = :id")
DEAD = text("UPDATE payment_check SET state = 'dead', settled_at = :now WHERE id = :id")
LATER = text("UPDATE payment_check SET first_at = :first_at, due_at = :due_at WHERE id = :id")

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
log = logging.getLogger("checks")
running = True


def stop(signum: int, frame: object) -> None:
    global running
    running = False


def check(row: Row[Any]) -> None:
    now = time.time()
    first_at = row.first_at or now
    with database.engine().connect() as connection:
        payment = payment_manager.get_payment(connection, row.payment_id)
    if payment is None or payment.status.is_final:
        with database.engine().begin() as connection:
            connection.execute(DONE, {"id": row.id, "now": now})
        return
    try:
        status = channel_client.ask(CHANNELS[payment.channel], payment.payment_id, payment.amount, TIMEOUT)
    except Exception:
        log.exception("ask_error|payment_id=%d", row.payment_id)
        with database.engine().begin() as connection:
            connection.execute(LATER, {"id": row.id, "first_at": first_at, "due_at": now + RETRY})
        return
    with database.engine().begin() as connection:
        if status.is_final:
            payment_manager.settle(connection, payment, status, by="poll")
            connection.execute(DONE, {"id": row.id, "now": now})
            return
        payment_manager.note_status(connection, payment, status, now)
        after = asking.next_question_s(SCHEDULES[status], now - first_at)
        if after is None:
            log.error("still_open|payment_id=%d,status=%s", row.payment_id, status)
            connection.execute(DEAD, {"id": row.id, "now": now})
        else:
            connection.execute(LATER, {"id": row.id, "first_at": first_at, "due_at": now + after})


def main() -> None:
    signal.signal(signal.SIGTERM, stop)
    worker, workers = int(sys.argv[1]), int(sys.argv[2])
    while running:
        try:
            with database.engine().connect() as connection:
                rows = connection.execute(SELECT, {"now": time.time(), "worker": worker, "workers": workers}).all()
        except Exception:
            log.exception("select_error")
            time.sleep(5)
            continue
        for row in rows:
            try:
                check(row)
            except Exception:
                log.exception("check_error|id=%d", row.id)
        if not rows:
            time.sleep(1)


if __name__ == "__main__":
    main()
