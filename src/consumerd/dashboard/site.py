"""What people see over HTTP: pages, their changes, what their forms ask, signing in and out."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from consumerd.dashboard.access.forms import form_of
from consumerd.dashboard.access.guard import Answer, Guard
from consumerd.dashboard.access.sessions import Access, GuessedTooOftenError, Role
from consumerd.dashboard.assets import Assets
from consumerd.dashboard.live import Live, Wanted
from consumerd.dashboard.master import Master
from consumerd.dashboard.memory import Memory
from consumerd.dashboard.page import Act, NotThereError, Page
from consumerd.dashboard.pages import ACTS, PAGES
from consumerd.dashboard.threads import BusyError, Threads
from consumerd.dashboard.view.rendering import Renderer
from consumerd.dashboard.watch import Watch
from consumerd.errors import ConsumerdError

MOST_STREAMS = 100
NO_CSRF = "this form is not of your session: open the page again"


class Site:
    """The parts that answer browsers. In the event loop's thread."""

    def __init__(
        self,
        master: Master,
        watch: Watch,
        memory: Memory,
        access: Access,
        *,
        names: tuple[str, ...],
        is_local: bool,
        cookie: str,
    ) -> None:
        """names, is_local, cookie: as of `Guard`."""
        self._master = master
        self._access = access
        self._assets = Assets()
        self._acts = Threads("acts are done", 4, 8)
        listed = [page for page in PAGES if page.is_listed]
        self._renderer = Renderer(self._assets.addresses, listed, has_tokens=access.has_tokens)
        self._live = Live(watch, memory, self._renderer, master)
        self._guard = Guard(access, self._renderer, names, is_local, cookie)

    def routes(self) -> list[Route]:
        """All of it."""
        guarded = self._guard.guarded
        pages = [Route(page.path, guarded(self._page(page))) for page in PAGES]
        changes = [Route(f"/live{page.path}", guarded(self._changes(page))) for page in PAGES if page.is_live]
        acts = [Route(f"/acts/{act.name}", guarded(self._act(act), Role.OPERATOR), methods=["POST"]) for act in ACTS]
        signing = [
            Route("/sign-in", guarded(self._show_sign_in, Role.NOBODY)),
            Route("/sign-in", guarded(self._sign_in, Role.NOBODY), methods=["POST"]),
            Route("/sign-out", guarded(self._sign_out, Role.NOBODY), methods=["POST"]),
        ]
        return [*pages, *changes, *acts, *signing, Route("/static/{name}", self._assets.answer)]

    async def not_there(self, request: Request, error: Exception) -> Response:
        """Of a path that is no page's."""
        return await self._guard.guarded(self._nothing, Role.NOBODY)(request)

    async def _nothing(self, request: Request) -> Response:
        return self._guard.refusal(request, 404, "there is no such page")

    def _page(self, page: Page) -> Answer:
        async def answer(request: Request) -> Response:
            session = self._guard.session(request)
            try:
                rendered = await self._live.page(_wanted(page, request, session.role))
            except NotThereError as error:
                return self._guard.refusal(request, 404, str(error))
            except ConsumerdError as error:
                return self._guard.refusal(request, 503, str(error))
            html = self._renderer.for_session(rendered.html, session)
            told, session.told = session.told, []
            return Response(self._renderer.telling(html, told), media_type="text/html")

        return answer

    def _changes(self, page: Page) -> Answer:
        async def answer(request: Request) -> Response:
            if self._live.streams >= MOST_STREAMS:
                return self._guard.refusal(request, 503, f"{MOST_STREAMS} look already: close one of their pages")
            session = self._guard.session(request)
            wanted = _wanted(page, request, session.role)
            changes = self._live.changes(wanted, lambda: self._guard.session(request) is session)
            events = (self._renderer.for_session(event, session) async for event in changes)
            return StreamingResponse(events, media_type="text/event-stream")

        return answer

    def _act(self, act: Act) -> Answer:
        async def answer(request: Request) -> Response:
            session = self._guard.session(request)
            form = await form_of(request, act.largest_bytes)
            if not hmac.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
                return self._guard.refusal(request, 403, NO_CSRF)
            try:
                told = await self._acts.run(self._told, act, form, f"{session.role.text} at {_address(request)}")
            except BusyError as error:
                return self._not_done(request, str(error))
            self._live.ask_again()
            if request.headers.get("accept") == "application/json":
                return JSONResponse({"told": told})
            session.told = told
            return RedirectResponse(_back(form.get("back", "")), 303)

        return answer

    def _not_done(self, request: Request, sentence: str) -> Response:
        """There is no room for it now."""
        if request.headers.get("accept") == "application/json":
            return JSONResponse({"told": [("bad", f"{sentence}; nothing was done")]}, 503)
        return self._guard.refusal(request, 503, f"{sentence}; nothing was done")

    def _told(self, act: Act, form: Mapping[str, str], via: str) -> list[tuple[str, str]]:
        """What became of it, in sentences: `good` or `bad`."""
        try:
            return [("good", line) for line in act.do(form, partial(self._master.answer, via=via))]
        except ConsumerdError as error:
            return [("bad", str(error))]

    # Signing in

    async def _show_sign_in(self, request: Request) -> Response:
        if (key := request.query_params.get("key")) is not None:
            cookie = self._access.sign_in_once(key)
            if cookie is not None:
                return self._guard.signed_in(request, cookie)
            return self._sign_in_page(request, "this link was used before, or is of another run: ask for a new one")
        return self._sign_in_page(request, "")

    async def _sign_in(self, request: Request) -> Response:
        form = await form_of(request)
        try:
            cookie = self._access.sign_in(form.get("token", ""), _address(request))
        except GuessedTooOftenError as error:
            response = self._sign_in_page(request, str(error), 429)
            response.headers["retry-after"] = str(int(error.wait_s) + 1)
            return response
        if cookie is None:
            return self._sign_in_page(request, "this is no token of this page", 401)
        return self._guard.signed_in(request, cookie)

    async def _sign_out(self, request: Request) -> Response:
        self._access.sign_out(self._guard.key(request))
        response = RedirectResponse("/sign-in" if self._access.has_tokens else "/", 303)
        response.delete_cookie(self._guard.cookie)
        return response

    def _sign_in_page(self, request: Request, problem: str, status: int = 200) -> Response:
        session = self._guard.session(request)
        context: dict[str, object] = {"page": None, "role": session.role, "seen": None, "problem": problem}
        html = self._renderer.render("sign_in.html", context).html
        return Response(self._renderer.for_session(html, session), status, media_type="text/html")


def _wanted(page: Page, request: Request, role: Role) -> Wanted:
    parameters, query = request.path_params, request.query_params
    return Wanted(page, role, tuple(sorted(parameters.items())), tuple(sorted(query.items())))


def _address(request: Request) -> str:
    return "nowhere" if request.client is None else request.client.host


def _back(path: str) -> str:
    """Where to go after a form; never to another host."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and not urlsplit(path).netloc
    return path if is_own and path.isprintable() else "/"
