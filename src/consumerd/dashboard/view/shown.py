"""Texts that nobody has vouched for, as a page shows them."""

from __future__ import annotations

import json
import re

from markupsafe import Markup, escape

from consumerd.cli.lines import printable

LONGEST = 2_000
"""A longer text is cut where it is shown."""

_LINES = re.compile(r"([\n\t])")


def plain(value: object) -> object:
    """What an expression of a template gives: control characters, and those that turn the direction, as escapes."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return printable(value)
    return "" if value is None else value


def in_words(value: object) -> str:
    """A value of an event or of the audit log, as people read it: yes, no, none, a text as it is, else JSON."""
    match value:
        case str():
            return value
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
    return json.dumps(value, ensure_ascii=False, default=str)


def verbatim(text: str) -> Markup:
    """The text as it is, for what is sent back by a form."""
    return escape(text)


def cut(text: str, most: int = LONGEST) -> str:
    """Its beginning, with a note of how much is missing."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def preformatted(text: str) -> Markup:
    """Its lines as they are, for `<pre>`."""
    parts = _LINES.split(text.replace("\r\n", "\n"))
    return Markup("").join(part if part in ("\n", "\t") else escape(printable(part)) for part in parts)
