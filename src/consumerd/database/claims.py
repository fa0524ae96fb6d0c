"""Rows that are claimed: by whom, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """Who claims, and for how long.

    owner: the token of the claim; `<member>#<generation>`, which is one process.
    seconds: how long nobody else gets the row, from the claim or its last renewal on.
    """

    owner: str
    seconds: float
