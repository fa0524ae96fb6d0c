"""Pages as HTML, and the parts of them that are sent again when they change. What tasks hold is never trusted."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from consumerd.dashboard.access.sessions import Session
from consumerd.dashboard.page import Context, Page
from consumerd.dashboard.view import figures
from consumerd.dashboard.view.charts import chart, sparkline
from consumerd.dashboard.view.shown import cut, in_words, plain, preformatted, verbatim
from consumerd.verbs.status import doing

TOLD = "told"
"""Where such sentences come, as a comment in the frame."""

TEMPLATES = Path(__file__).parent.parent / "templates"


@dataclass(frozen=True, slots=True)
class Rendered:
    """html: the whole page; parts: the HTML of its live elements by their ids, in order."""

    html: str
    parts: Mapping[str, str]


class Renderer:
    """Renders templates. Any text is escaped, and shown with its control characters as escapes, unless a template's
    own macro has made it.

    assets: the addresses of what `static` holds, by name. listed: the pages of the navigation. has_tokens: whether
    anybody can sign in.
    """

    def __init__(self, assets: Mapping[str, str], listed: Sequence[Page], *, has_tokens: bool) -> None:
        self._csrf = secrets.token_hex(16)
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=plain,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals |= {"assets": assets, "listed": listed, "csrf": self._csrf}
        self._environment.globals["has_tokens"] = has_tokens
        self._environment.globals |= {"chart": chart, "sparkline": sparkline}
        self._environment.filters |= {**figures.FILTERS, "cut": cut, "preformatted": preformatted}
        self._environment.filters |= {"doing": doing, "in_words": in_words, "verbatim": verbatim}

    def render(self, template: str, context: Context) -> Rendered:
        """A whole page."""
        parts: dict[str, str] = {}

        def live(own_id: str, tag: str = "div", caller: Callable[[], str] = str, **attributes: Any) -> Markup:
            made = _element(tag, own_id, caller(), attributes)
            assert own_id not in parts, f"two live elements have the id {own_id}"
            parts[own_id] = made
            return made

        html = self._environment.get_template(template).render(**context, live=live)
        return Rendered(html, parts)

    def for_session(self, html: str, session: Session) -> str:
        """What was made for all who look at the same, with the secret of this session's forms."""
        return html.replace(self._csrf, session.csrf)

    def telling(self, html: str, told: Sequence[tuple[str, str]]) -> str:
        """A page with sentences that are shown once."""
        shown = Markup("").join(Markup('<p class="{}">{}</p>').format(kind, plain(text)) for kind, text in told)
        return html.replace(f"<!--{TOLD}-->", shown, 1) if told else html


def _element(tag: str, own_id: str, content: str, attributes: Mapping[str, Any]) -> Markup:
    """attributes: `class_` is `class`, and `_` a dash."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    written = Markup("").join(Markup(' {}="{}"').format(name, plain(value)) for name, value in named.items())
    return Markup('<{0} id="{1}" data-live{2}>{3}</{0}>').format(Markup(tag), plain(own_id), written, Markup(content))
