"""What operators have set by hand, on disk."""

from pathlib import Path

import pytest

from consumerd.master.control.overrides import NOTHING_BY_HAND, Overrides, Paused, Pin, load_overrides


def test_pins_come_back_whether_the_configuration_had_a_number_or_a_range(tmp_path: Path) -> None:
    overrides = Overrides({"g/a": Pin(3, 1), "g/b": Pin(2, '{"min":1,"max":8}')}, {"g/b": Paused(1.5, "anna")})
    overrides.save(tmp_path / "overrides")
    assert load_overrides(tmp_path / "overrides") == (overrides, None)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[" * 100_000,
        '{"pins": {"g/a": [1]}, "paused": {}}',
        '{"pins": {"g/a": ["1", 2]}}',
        '{"pins": {}, "paused": ["g/a"]}',
        '{"pins": {}, "paused": {"g/a": 1}}',
        '{"pins": {"g/a": [-3, 1]}, "paused": {}}',
        '{"pins": {"g/a": [30000000, 1]}, "paused": {}}',
    ],
)
def test_a_file_that_holds_nonsense_is_given_up_with_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "overrides").write_text(text)
    overrides, problem = load_overrides(tmp_path / "overrides")
    assert overrides == NOTHING_BY_HAND
    assert problem is not None
    assert "scale and pause anew" in problem
