"""The configuration and the application of gunicorn: a worker tells the benchmark that it is about to loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from benchmarks.hello import announce

bind = "unix:gunicorn.sock"


def post_worker_init(worker: object) -> None:
    """The last that gunicorn calls before the worker's loop."""
    announce()
    if os.environ.get("BENCHMARK_CRASH"):
        os._exit(1)


def application(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Never called."""
    start_response("204 No Content", [])
    return []
