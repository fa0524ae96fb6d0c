"""The walk over all keys of the store, in steps that stay short."""

from __future__ import annotations

from consumerd.store.spans import FIRST_PART, KEYS, LONGEST_STEP_S, Span, walk


class Table:
    """Rows all over the keys; a step takes so long for each part of them that it covers."""

    def __init__(self, seconds_for_all: float) -> None:
        self.now_s = 0.0
        self.took_s: list[float] = []
        self._seconds_for_all = seconds_for_all

    def step(self, span: Span) -> Span:
        self.took_s.append(self._seconds_for_all * (span.high - span.low) / KEYS)
        self.now_s += self.took_s[-1]
        return span

    def walk(self) -> list[Span]:
        return list(walk(self.step, lambda: self.now_s))


def test_the_steps_cover_every_key_once() -> None:
    for seconds_for_all in (0.0, 1.0, 1_000.0):
        spans = Table(seconds_for_all).walk()
        assert spans[0].low == 0
        assert spans[-1].high == KEYS
        assert [span.high for span in spans[:-1]] == [span.low for span in spans[1:]]


def test_a_small_store_takes_few_steps() -> None:
    assert len(Table(0.001).walk()) < 12


def test_a_large_store_takes_steps_of_less_than_a_second_whatever_the_first_ones_took() -> None:
    table = Table(10_000.0)
    table.walk()
    assert table.took_s[0] == 10_000.0 / FIRST_PART
    assert max(table.took_s[10:]) <= LONGEST_STEP_S
