"""Nothing that a task holds can steer a page."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from consumerd.dashboard.access.sessions import Role, Session
from consumerd.dashboard.view.charts import Line, chart, sparkline
from consumerd.dashboard.view.rendering import Renderer
from consumerd.dashboard.view.shown import cut, in_words, plain, preformatted

STEERING = ("Cc", "Cf", "Cs")
HOSTILE = "<script>alert(1)</script> \"' & \u202e right to left \u0000 \u200b \ud800"


def steers(text: str, *, but: str = "") -> bool:
    return any(unicodedata.category(character) in STEERING and character not in but for character in text)


@given(st.text())
def test_any_text_is_shown_without_control_characters(text: str) -> None:
    assert not steers(str(plain(text)))


def test_values_are_shown_as_people_read_them() -> None:
    values = [True, False, None, 5, 0.5, "a text", {"a": None, "ü": [True]}, ()]
    assert [in_words(value) for value in values] == [
        *("yes", "no", "none", "5", "0.5", "a text", '{"a": null, "ü": [true]}', "[]")
    ]


def test_the_audit_log_shows_no_values_of_python() -> None:
    fields = {"dry_run": True, "state": None, "params": {"all": False}}
    entry = {"at": "", "who": "", "what": "", "fields": fields, "failed": ""}
    renderer = Renderer({"icon.svg": "", "page.css": "", "page.js": ""}, [], has_tokens=True)
    html = renderer.render("audit.html", {"page": None, "role": Role.NOBODY, "seen": None, "entries": [entry]}).html
    assert "<i>dry_run</i> yes" in html
    assert "<i>state</i> none" in html
    assert "{&#34;all&#34;: false}" in html


@given(st.text())
def test_lines_stay_lines_and_nothing_else_steers(text: str) -> None:
    made = preformatted(text)
    assert not steers(made, but="\n\t")
    assert made.count("\n") == text.replace("\r\n", "\n").count("\n")
    assert "<" not in made


def test_a_long_text_says_how_much_is_missing() -> None:
    assert cut("a" * 10, 10) == "a" * 10
    assert cut("a" * 1_010, 10) == "a" * 10 + "… (1,000 more characters)"


def test_a_template_shows_what_is_hostile_as_text_wherever_it_stands() -> None:
    renderer = Renderer({"icon.svg": "", "page.css": "", "page.js": ""}, [], has_tokens=True)
    context = {"page": None, "role": Role.NOBODY, "seen": None, "sentence": HOSTILE}
    html = renderer.for_session(renderer.render("refused.html", context).html, Session(Role.NOBODY))
    assert "<script>alert" not in html
    assert not steers(html, but="\n")
    told = renderer.telling(html, [("bad", HOSTILE)])
    assert "<script>alert" not in told
    assert told.count(str(escape("<script>"))) == 2


def test_charts_escape_their_words() -> None:
    marked = chart("own", HOSTILE, [Line(HOSTILE, [1.0])], until=100.0, step_s=10.0, show=str)
    assert "<script>" not in marked + sparkline([1.0, 2.0], HOSTILE)
