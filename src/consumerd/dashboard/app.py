"""What is answered over HTTP: the page, metrics, and whether the master lives and is healthy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumerd.dashboard.access.failures import Failures
from consumerd.dashboard.access.guard import by_name
from consumerd.dashboard.access.sessions import Access
from consumerd.dashboard.master import Master
from consumerd.dashboard.memory import Follower, Memory
from consumerd.dashboard.site import Site
from consumerd.dashboard.threads import Threads
from consumerd.dashboard.watch import Watch
from consumerd.errors import ConsumerdError
from consumerd.metrics.exposition import CONTENT_TYPE, text
from consumerd.verbs.metrics import ShowMetrics
from consumerd.wire.method import ask
from consumerd.wire.metrics import Metrics


@dataclass(frozen=True)
class Reached:
    """Who is answered. names: of this host, for browsers. is_local: only this machine reaches it. cookie: its name."""

    access: Access
    names: tuple[str, ...]
    is_local: bool
    cookie: str


def make_app(master: Master, memory: Memory, reached: Reached) -> Starlette:
    """Asks this master as long as it lives."""
    watch = Watch(lambda: ask(master.control_socket, ShowMetrics()), memory.note)
    site = Site(
        master,
        watch,
        memory,
        reached.access,
        names=reached.names,
        is_local=reached.is_local,
        cookie=reached.cookie,
    )

    @asynccontextmanager
    async def watching(app: Starlette) -> AsyncIterator[None]:
        Follower(master.control_socket, memory).start()
        task = asyncio.create_task(watch.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    programs = [Route(each.path, by_name(each.endpoint, reached.names)) for each in probes(watch)]
    routes = [*site.routes(), *programs]
    handlers = {ConsumerdError: _unanswered, 404: site.not_there}
    return Starlette(routes=routes, exception_handlers=handlers, middleware=[Middleware(Failures)], lifespan=watching)


def probes(watch: Watch) -> list[Route]:
    """What programs ask: nobody signs in, and nothing of tasks, no destination and no text of an error is told."""

    threads = Threads("ask for all numbers", 1, 30)

    async def answered() -> Metrics:
        seen = await watch.fresh()
        if seen.error or seen.metrics is None:
            raise ConsumerdError(seen.error)
        return seen.metrics

    async def show_metrics(request: Request) -> Response:
        metrics = await answered()
        return Response(await threads.run(text, metrics), media_type=CONTENT_TYPE)

    async def is_alive(request: Request) -> Response:
        return JSONResponse({"pid": (await answered()).status.pid})

    async def is_healthy(request: Request) -> Response:
        found = (await answered()).status
        kinds = sorted({(pool.name, str(problem.kind)) for pool in found.pools for problem in pool.wrong})
        problems = [{"consumer": name, "kind": kind} for name, kind in kinds]
        body = {"is_healthy": found.is_healthy, "state": found.state, "problems": problems}
        return JSONResponse(body, status_code=200 if found.is_healthy else 503)

    return [Route("/metrics", show_metrics), Route("/livez", is_alive), Route("/readyz", is_healthy)]


async def _unanswered(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=503)
