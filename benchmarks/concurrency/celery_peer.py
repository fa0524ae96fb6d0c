"""Celery, whose tasks wait: `python benchmarks/concurrency/celery_peer.py POOL BROKER TASKS`, by itself installed.

A hundred tasks at once, 5 ms each. POOL is `threads` or `gevent`. Prints its pace from the first tenth of the tasks on.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time

WIDTH = 100
TASK_S = 0.005


def main() -> None:
    pool, broker, written = sys.argv[1:]
    tasks = int(written)
    if pool == "gevent":
        from gevent import monkey

        monkey.patch_all()
    from celery import Celery

    app, numbers = Celery("calls", broker=broker), itertools.count(1)
    began = 0.0

    @app.task(name="call", ignore_result=True)  # type: ignore[untyped-decorator]  # Celery has no types
    def call(uid: int) -> None:
        nonlocal began
        time.sleep(TASK_S)
        number = next(numbers)
        if number == tasks // 10:
            began = time.perf_counter()
        elif number == tasks:
            rate = (tasks - tasks // 10) / (time.perf_counter() - began)
            os.write(1, f"{json.dumps({'pace': rate})}\n".encode())  # Celery has taken sys.stdout for its log
            os._exit(0)

    for uid in range(tasks):
        call.delay(uid)
    app.worker_main(["--quiet", "worker", "--pool", pool, "--concurrency", str(WIDTH), "--loglevel", "error"])


if __name__ == "__main__":
    main()
