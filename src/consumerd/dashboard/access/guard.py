"""Who is answered: by which name, from which page, signed in as whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from consumerd.dashboard.access.forms import FormRefusedError
from consumerd.dashboard.access.origin import comes_from_us, is_ours
from consumerd.dashboard.access.sessions import Access, Role, Session
from consumerd.dashboard.page import Context
from consumerd.dashboard.view.rendering import Renderer

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
UNREACHED = (
    "others than this host may look once there is a token: set operator_token or read_only_token in "
    "[consumerd.dashboard], and start the master anew"
)
_NO_NAME = "{!r} is no name of this page: add it to hosts in [consumerd.dashboard]"

Answer = Callable[[Request], Awaitable[Response]]


def by_name(answer: Answer, names: tuple[str, ...]) -> Answer:
    """`answer` for programs that ask by one of these names, or by an address, or by none, as no browser does."""

    async def answered(request: Request) -> Response:
        host = request.headers.get("host", "")
        if host and not is_ours(host, names):
            return JSONResponse({"error": _NO_NAME.format(host[:200])}, 421)
        return await answer(request)

    return answered


@dataclass(frozen=True)
class Guard:
    """Lets requests through to those who answer.

    names: of this host, beside its addresses. is_local: only this machine reaches it.
    cookie: its name, which no other page of this host has, since browsers send cookies to all ports.
    """

    access: Access
    renderer: Renderer
    names: tuple[str, ...]
    is_local: bool
    cookie: str

    def guarded(self, answer: Answer, role: Role = Role.READ_ONLY) -> Answer:
        """`answer` for those of this role or a higher one; a sentence for others."""

        async def answered(request: Request) -> Response:
            try:
                response = self._refused(request, role) or await answer(request)
            except FormRefusedError as error:
                response = self.refusal(request, error.status, str(error))
            response.headers.update({name: value for name, value in HEADERS.items() if name not in response.headers})
            return response

        return answered

    def session(self, request: Request) -> Session:
        """Of whoever asks."""
        return self.access.session(self.key(request))

    def key(self, request: Request) -> str:
        """By which a session is known; empty where there is none."""
        return request.cookies.get(self.cookie, "")

    def signed_in(self, request: Request, key: str) -> Response:
        """To the overview, with a session."""
        response = RedirectResponse("/", 303)
        is_secure = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https:")
        response.set_cookie(self.cookie, key, secure=is_secure, httponly=True, samesite="strict")
        return response

    def refusal(self, request: Request, status: int, sentence: str) -> Response:
        """A page that says why there is no other."""
        context: Context = {
            "page": None,
            "role": self.session(request).role,
            "seen": None,
            "sentence": sentence,
            "query": {},
        }
        rendered = self.renderer.render("refused.html", context)
        html = self.renderer.for_session(rendered.html, self.session(request))
        return Response(html, status, headers=HEADERS, media_type="text/html")

    def _refused(self, request: Request, role: Role) -> Response | None:
        host = request.headers.get("host", "")
        if not is_ours(host, self.names):
            return self.refusal(request, 421, _NO_NAME.format(host[:200]))
        if request.method == "POST" and not comes_from_us(request.headers.get("origin"), host):
            return self.refusal(request, 403, "no page of this host has sent this: open the page, and do it there")
        if self.session(request).role < role:
            return self._not_allowed(request, role)
        return None

    def _not_allowed(self, request: Request, role: Role) -> Response:
        if not self.is_local and not self.access.has_tokens:
            return self.refusal(request, 403, UNREACHED)
        if self.session(request).role is not Role.NOBODY or not self.access.has_tokens:
            return self.refusal(request, 403, f"this is for somebody who has signed in as {role.text}")
        if request.method == "GET" and not request.url.path.startswith("/live"):
            return RedirectResponse("/sign-in", 303)
        return self.refusal(request, 401, "you are not signed in any more")
