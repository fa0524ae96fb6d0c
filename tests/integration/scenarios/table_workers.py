"""A worker on a claimed table: `python -m integration.scenarios.table_workers DATABASE MEMBER GENERATION LEDGER`.

It handles rows, ten at once, until none is due, and appends one line for each to the ledger before it settles it.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from consumerd.clock import monotonic
from consumerd.model.outcome import DONE
from consumerd.sources.contract import Settlement
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.source import TableSource
from consumerd.testing.source_context import context_for_tests

BATCH_SIZE = 10


def work(database: str, member: str, generation: str, ledger: Path) -> None:
    source = TableSource()
    options = TableOptions(database=database, batch_size=BATCH_SIZE)
    context = context_for_tests(options=options)
    source.open(replace(context, member=member, lease_owner=f"{member}#{generation}"))
    with ledger.open("ab", buffering=0) as lines:
        while (batch := source.fetch(1_000, 0.5)) is not None:
            for index in range(len(batch.raws)):
                lines.write(f"{member} {batch.task(index).id}\n".encode())
            source.settle([Settlement(batch, 0, len(batch.raws), DONE)], is_due=False)
    source.close(monotonic() + 10)


if __name__ == "__main__":
    work(*sys.argv[1:4], Path(sys.argv[4]))
