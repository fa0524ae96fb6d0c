"""The application of Celery: a process of its pool tells the benchmark that it is about to loop."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import worker_process_init

from benchmarks.hello import announce

app = Celery("benchmark", broker="memory://")


@worker_process_init.connect
def _tell(**_: object) -> None:
    announce()
    if os.environ.get("BENCHMARK_CRASH"):
        os._exit(1)
