"""The errors by which a destination is taken for down."""

from __future__ import annotations

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.worker.attempts.error_lists import failures_of


def of(*names: str) -> CommonKeys:
    return CommonKeys.model_validate({"breaker": {"failures": list(names)}})


def test_they_are_named_by_their_classes() -> None:
    assert failures_of(of("OSError", "json.JSONDecodeError"))[0] is OSError


@pytest.mark.parametrize("name", ["consumerd.Retry", "consumerd.Dead"])
def test_what_a_handler_says_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="no error that could be counted"):
        failures_of(of("OSError", name))
