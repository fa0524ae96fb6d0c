"""A user's own query as a source: `get_next_batch`. The query, and the state of its rows, are the user's.

consumerd divides the rows among the workers by the hash of their ids, leaves out what is parked until it is due, and
paces the queries. A row is handled as the query gives it, at each attempt.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from consumerd.sources.askable import Askable, AskContext
from consumerd.sources.contract import Source, SourceKind, Traits

TRAITS = Traits(moves_ranges=True, gives_again=True)


class QueryOptions(BaseModel):
    """The keys of a query; all others are the user's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    database: Any = Field(  # what a class of the user's makes of it; a URL or a path for `self.database`
        default=None,
        description="What `self.database` is for: the URL of a server, `mysql://user:password@host/database` or "
        "`postgresql://…`, or the path of a SQLite file.",
    )
    claims: bool | None = Field(
        default=None,
        description="Whether `get_next_batch` claims the rows that it returns (`UPDATE … RETURNING`, a visibility "
        "timeout), so that they do not come again: then each worker handles all that it gets. Left out: it is found "
        "out, and `false` says that it only reads.",
    )


def _make() -> Source:
    from consumerd.sources.query.source import QuerySource

    return QuerySource()


def _ask(context: AskContext) -> Askable:
    from consumerd.sources.query.asked import AskedQuery

    return AskedQuery(context)


KIND = SourceKind(
    name="query", options=QueryOptions, make=_make, traits=TRAITS, hooks=("get_next_batch", "handle_task"), ask=_ask
)
