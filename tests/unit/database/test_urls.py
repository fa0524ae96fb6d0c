"""The URL of a database, and what it leaves open for its driver."""

from __future__ import annotations

import pytest

from consumerd.database.urls import connect_arguments, read_url


@pytest.mark.parametrize(
    ("url", "name", "ours"),
    [
        ("mysql://u@h/d{}", "init_command", "SET innodb_lock_wait_timeout = 2"),
        ("postgresql://u@h/d{}", "options", "-c lock_timeout=2s"),
    ],
)
def test_what_a_url_says_of_its_sessions_stands_in_the_place_of_what_we_say(url: str, name: str, ours: str) -> None:
    assert connect_arguments(read_url(url.format(""), "database"), 2)[name] == ours
    assert name not in connect_arguments(read_url(url.format(f"?{name}=theirs"), "database"), 2)
