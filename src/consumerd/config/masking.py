"""What people are shown of a configuration as it is written: references stand, what is written out and secret does not.

It is known by its key, or by how it stands in its text. Rather something harmless is masked than a secret shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from consumerd.config.redaction import MASK, written_parts

_NAMES = (
    r"pass|pwd|secret|token|credential|(?:api|private|access|account|shared|signing|encryption|auth)[._-]?key|jaas"
    r"|authorization|web[._-]?hook|cookie|signature|(?:^|[._-])(?:sas|pin|auth)$"
)
_SECRET_KEY = re.compile(f"(?i){_NAMES}")
_REFERENCE = re.compile(r"(?<!\$)(\$\{\w+\})")
_BEGINS_WITH_REFERENCE = re.compile(r"(?:\$\{\w+\})+(?:@.*)?", re.DOTALL)

_PARTS = (
    re.compile(r"://[^/@:]*:(.*)@"),  # the password of a URL, with spaces
    re.compile(r"""(?ix) [\w.-]* (?:pass|pwd|secret|token|credential|(?:api|private|access|account|shared)[._-]?key)
        [\w.-]* ["']? \s* [=:] \s* (?: "([^"]+)" | '([^']+)' | ((?:\$\{\w+\}|[^\s;&,"'}])+) )"""),
    re.compile(r"""(?i)\bauthorization["']?\s*[=:]\s*["']?(?:(?:basic|bearer|digest|token)\s+)?([^\s"',;]+)"""),
    re.compile(r"(?i)\bbearer\s+([^\s\"',;]+)"),
    re.compile(r"(?i)https?://[^/?#\s]*hook[^/?#\s]*/(\S+)"),  # what a web hook is known by
    re.compile(r"(?i)https?://\S*?hooks?/(\S+)"),
    re.compile(r"https?://\S*?/((?=[\w:-]*\d)(?=[\w:-]*[A-Za-z])[\w:-]{20,})"),  # a token in a path
    re.compile(r"(?i)\$\{\w*(?:user|login)\w*\}:([^\s@/$]\S*)"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)(?:-----END|$)", re.DOTALL),
)


def is_secret(key: str) -> bool:
    """Whether the name of a key says that nobody may see what stands there."""
    return _SECRET_KEY.search(key) is not None


def masked(key: str, value: Any) -> Any:  # plain data of any shape
    """A value as people may see it: of a secret key only its references, of others what is no secret by how it stands.

    What is true, false or null is shown.
    """
    if isinstance(value, dict):
        return {name: masked(key if is_secret(key) else str(name), each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked(key, each) for each in value]
    if value is None or isinstance(value, bool):
        return value
    if not is_secret(key):
        return without_passwords(value) if isinstance(value, str) else value
    return _only_references(value) if isinstance(value, str) else MASK


def without_passwords(text: str) -> str:
    """A text as it is written, its references unresolved; passwords, tokens and the like in it are masked."""
    shown, end = [], 0
    for first, last in sorted(_spans(text)):
        if first >= end:
            shown += [text[end:first], MASK]
        end = max(end, last)
    return "".join([*shown, text[end:]])


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for found in written_parts(text, _PARTS):
        for group, part in enumerate(found.groups(), 1):
            if part and not _BEGINS_WITH_REFERENCE.fullmatch(part):
                yield found.span(group)


def _only_references(text: str) -> str:
    if text.startswith("file:") or not text:
        return text
    return "".join(each if _REFERENCE.fullmatch(each) else MASK for each in _REFERENCE.split(text) if each)
