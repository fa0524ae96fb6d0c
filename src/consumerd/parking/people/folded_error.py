"""An error's text without what differs from task to task, by which errors of one kind are known as one. Pure."""

from __future__ import annotations

import re

FOLDED = "#"
LONGEST = 200

_VARYING = re.compile(
    r"""
      [0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}   # a UUID
    | \b0x[0-9a-f]+\b                               # an address
    | \b(?=[a-f]*\d)[0-9a-f]{8,}\b                  # a digest
    | \b(?=\D*\d\D*\d)(?=\w*[^\W\d])\w{16,}\b      # another long id
    | \d+(?:[.,:]\d+)*                              # a number, a time
    """,
    re.IGNORECASE | re.VERBOSE,
)


def folded(error: str) -> str:
    """The error with `#` in the place of each number and id; the class of the exception stays as it is."""
    kind, colon, message = error.partition(": ")
    return f"{kind[:LONGEST]}{colon}{_VARYING.sub(FOLDED, message[: 4 * LONGEST])}"[:LONGEST]


def kind_of(error: str) -> str:
    """The class of the exception alone."""
    return error.partition(":")[0][:LONGEST]


def searchable(shown: str) -> str:
    """The longest stretch of a folded error that stands in each error that was folded to it."""
    return max(shown.split(FOLDED), key=len)
