"""What the suites of sources do with a source: the world behind it, and its calls as the loop makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from consumerd.clock import monotonic
from consumerd.model.outcome import DONE, Outcome
from consumerd.sources.contract import Batch, EndOfSource, Settlement, Source, SourceContext
from consumerd.testing.source_context import context_for_tests

PATIENCE_S = 30.0


class Feed(Protocol):
    """The world behind a source, as a suite needs it; each test has one of its own."""

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        """Put these records, in this order and into one shard, where the source finds them."""

    def open(self, context: SourceContext) -> Source:
        """A source, opened with this context (the feed puts its options in)."""


def opened(feed: Feed, count: int) -> Source:
    """A source of so many tasks, numbered from 0."""
    feed.produce([{"number": number} for number in range(count)])
    return feed.open(context_for_tests())


def reopened(feed: Feed) -> Source:
    """The source as the next process of its slot opens it."""
    return feed.open(context_for_tests(generation=2))


def fetched(source: Source, timeout_s: float, limit: int = 100) -> Batch | None:
    """What one fetch brings; None as well where there will never be more."""
    try:
        return source.fetch(limit, timeout_s)
    except EndOfSource:
        return None


def one_batch(source: Source, limit: int = 100) -> Batch:
    """The next batch, waited for."""
    deadline = monotonic() + PATIENCE_S
    while monotonic() < deadline:
        batch = fetched(source, 0.2, limit)
        if batch is not None:
            return batch
    raise AssertionError(f"no task came within {PATIENCE_S:g} s")


def settle_all(source: Source, batch: Batch, outcome: Outcome = DONE, *, is_due: bool = False) -> None:
    """Settle and leave a batch, as the loop does it."""
    source.settle([Settlement(batch, 0, len(batch.raws), outcome)], is_due=is_due)
    source.release(batch, ())


def batch_of_three(feed: Feed, source: Source) -> Batch:
    """A batch of at least three tasks, which a source may take some time to have together."""
    while len((batch := one_batch(source)).raws) < 3:
        settle_all(source, batch, is_due=True)
        feed.produce([{"number": number} for number in range(1_000, 1_006)])
    return batch


def drained(
    source: Source,
    count: int,
    *,
    limit: int = 100,
    outcome: Outcome = DONE,
    look: Callable[[Batch], None] = lambda batch: None,
) -> list[int]:
    """The numbers of so many tasks, each batch settled before the next is fetched, as the loop does it."""
    seen: list[int] = []
    while len(seen) < count:
        batch = one_batch(source, limit)
        look(batch)
        seen += numbers_of(batch)
        settle_all(source, batch, outcome)
    return seen


def numbers_of(batch: Batch) -> list[int]:
    """Of its tasks, in order."""
    records: list[Any] = [batch.decode(batch.payload(raw)) for raw in batch.raws]  # of the feed
    return [record["number"] for record in records]
