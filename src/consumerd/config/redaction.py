"""Redaction: nothing that consumerd writes holds what a reference stood for. Imports nothing heavy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"

SHORTEST_SECRET = 3
"""Shorter values hide nothing that could not be guessed, and masking them would make every text unreadable."""

_SHORTEST_LINE = 8

_IN_TEXTS = (
    re.compile(r"://[^:/?#@\s]*:([^@\s]+)@"),  # the password of a URL, as SQLAlchemy finds it
    re.compile(r"://[^:/?#@\s]*:(\S+)@"),  # and one that has an @ in it
    re.compile(
        r"""(?ix) [\w.-]* (?:pass|pwd|secret|token|api_?key|credential) [\w.-]*  # by its name, as in a URL's query
        ["']? \s* [=:] \s* (?: "([^"]+)" | '([^']+)' | ((?!/)(?:\$\{\w+\}|[^\s;&,"'}])+) )"""
    ),
    re.compile(r"https?://([^:/?#@\s]{8,})@"),  # a token in the place of a user
)
_WEB_HOOK = re.compile(r"https?://[^/?#\s]+(/[^\s]{8,})")
"""What a web hook is known by: in what a reference stood for. Of a text that is written out, few paths are secret."""


@dataclass(frozen=True)
class Redactor:
    """Replaces each secret in a text by `***`.

    Also replaced are a secret as a URL, JSON or `repr` writes it, each of its long lines, and the passwords within it.
    """

    secrets: AbstractSet[str] = field(default=frozenset(), repr=False)
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        whole = frozenset(self.secrets).union(*map(secret_parts, self.secrets))
        forms = {form for secret in whole for form in _forms(secret)}
        if forms:
            longest_first = sorted(forms, key=lambda form: (-len(form), form))
            object.__setattr__(self, "_pattern", re.compile("|".join(map(re.escape, longest_first))))

    def redact(self, text: str) -> str:
        """`text` without a secret."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def joined(self, secrets: Iterable[str]) -> Redactor:
        """A redactor of these secrets as well."""
        return Redactor(self.secrets | set(secrets))


def secret_parts(text: str) -> frozenset[str]:
    """The passwords, tokens and the like within a text that is a URL or a list of named values; decoded, too."""
    return frozenset(form for part in _written_parts(text) for form in (part, unquote(part), unquote_plus(part)))


def written_parts(text: str, more: Iterable[re.Pattern[str]] = ()) -> Iterator[re.Match[str]]:
    """Where passwords, tokens and the like stand in a text: each group of these matches is one."""
    for pattern in (*_IN_TEXTS, *more):
        yield from pattern.finditer(text)


def _written_parts(text: str) -> Iterator[str]:
    for match in written_parts(text, (_WEB_HOOK,)):
        yield from (group for group in match.groups() if group)


def _forms(secret: str) -> Iterable[str]:
    """Every way in which a secret may stand in a text."""
    if len(secret) < SHORTEST_SECRET:
        return
    yield from (secret, quote(secret, safe=""), quote(secret, safe=" +"), quote_plus(secret), repr(secret)[1:-1])
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= _SHORTEST_LINE)
