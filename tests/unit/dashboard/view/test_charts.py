"""Charts draw what is known, say it in words, and have it as a table."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from consumerd.dashboard.view.charts import HEIGHT, ROWS, WIDTH, Line, Mark, chart, sparkline
from consumerd.dashboard.view.figures import count, memory, rate, seconds

VALUES = st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e12)), min_size=2, max_size=400)
UNTIL = 1_000_000.0


def made(values: list[float], *marks: Mark) -> str:
    return chart("own", "Tasks", [Line("done", values)], until=UNTIL, step_s=10.0, show=rate, marks=marks)


@given(VALUES)
def test_a_chart_is_well_formed_stays_within_its_frame_and_has_a_table(values: list[float]) -> None:
    text = made(values)
    figure = ET.fromstring(text)
    for path in figure.iter("path"):
        numbers = [float(found) for found in re.findall(r"-?\d+\.?\d*", path.get("d", ""))]
        assert all(-1 <= number <= max(WIDTH, HEIGHT) + 1 for number in numbers)
    rows = list(figure.iter("tr"))
    assert len(rows) <= ROWS + 2
    assert "nan" not in text
    assert "inf" not in text


def test_a_gap_is_not_drawn_over() -> None:
    known, gap = [1.0, 2.0], [math.nan]
    assert made(known + gap + known).count('class="line line-1"') == 2
    assert sparkline(known + gap + known, "done").count("<path") == 2


def test_a_mark_is_drawn_where_its_time_is_shown() -> None:
    marked = made([1.0] * 10, Mark(UNTIL - 50, "a reload", "deploy"), Mark(UNTIL - 500, "long ago", "deploy"))
    assert "a reload" in marked
    assert "long ago" not in marked


def test_numbers_are_written_with_their_units() -> None:
    assert [count(number) for number in (0, 1234, 123_456, 4.5e6, math.nan, None)] == [
        *("0", "1,234", "123 k", "4.5 M", "–", "–")
    ]
    assert [rate(number) for number in (0, 0.25, 12.34, 1234)] == ["0/s", "0.25/s", "12.3/s", "1,234/s"]
    assert [seconds(number) for number in (0, 0.00001, 0.0015, 2.5, 720)] == [
        "0 s",
        "10 µs",
        "1.5 ms",
        "2.5 s",
        "12 min",
    ]
    assert memory(35_000_000) == "33 MiB"
