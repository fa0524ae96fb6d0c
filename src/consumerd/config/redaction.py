"""Redaction: nothing that consumerd writes holds what a reference stood for. Imports nothing heavy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

MASK = "***"

SHORTEST_SECRET = 3
"""Shorter values hide nothing that could not be guessed, and masking them would make every text unreadable."""

_SHORTEST_LINE = 8


@dataclass(frozen=True)
class Redactor:
    """Replaces each secret in a text, also as a URL, JSON or `repr` writes it, and each long line of one, by `***`."""

    secrets: frozenset[str] = frozenset()
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        forms = {form for secret in self.secrets for form in _forms(secret)}
        if forms:
            longest_first = sorted(forms, key=lambda form: (-len(form), form))
            object.__setattr__(self, "_pattern", re.compile("|".join(map(re.escape, longest_first))))

    def __repr__(self) -> str:
        return f"Redactor({len(self.secrets)} secrets)"

    def redact(self, text: str) -> str:
        """`text` without a secret."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def joined(self, secrets: Iterable[str]) -> Redactor:
        """A redactor of these secrets as well."""
        return Redactor(self.secrets | frozenset(secrets))


def _forms(secret: str) -> Iterable[str]:
    """Every way in which a secret may stand in a text."""
    if len(secret) < SHORTEST_SECRET:
        return
    yield from (secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1])
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= _SHORTEST_LINE)
