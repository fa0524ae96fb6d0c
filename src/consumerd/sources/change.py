"""What a source's database lacks, as `check` tells it and the verb `table` prints and makes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """What a source lacks in its database, and what adds it.

    statement: in the database's own dialect, to be copied, without a semicolon.
    why: what is lacking, as a clause.
    caution: what it does to others, or to rows that are there; empty where that is nothing.
    is_yours: what it does to rows is for a person to decide.
    """

    statement: str
    why: str
    caution: str = ""
    is_yours: bool = False
