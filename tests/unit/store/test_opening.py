"""From the setting `parking` to a URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumerd.errors import UsageError
from consumerd.store.opening import open_store, parking_url

STATE = Path("/state")


@pytest.mark.parametrize("parking", [None, "embedded"])
def test_the_embedded_store_is_in_the_state_directory(parking: str | None) -> None:
    assert parking_url(parking, STATE).database == "/state/parked.sqlite"


@pytest.mark.parametrize(
    ("parking", "driver"),
    [
        ("mysql://u@h/d", "mysql+pymysql"),
        ("mariadb://u@h/d", "mysql+pymysql"),
        ("mysql+pymysql://u@h/d", "mysql+pymysql"),
        ("postgres://u@h/d", "postgresql+psycopg"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
    ],
)
def test_a_url_gets_the_driver_that_consumerd_installs(parking: str, driver: str) -> None:
    assert parking_url(parking, STATE).drivername == driver


@pytest.mark.parametrize(
    ("parking", "complaint"),
    [
        ("nonsense", "no URL"),
        ("mysql://u@h:port/d", "no URL"),
        ("oracle://u@h/d", "kind oracle"),
        ("sqlite:///relative", "not absolute"),
    ],
)
def test_what_is_no_store_is_refused(parking: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parking_url(parking, STATE)


def test_a_password_is_never_told() -> None:
    for url in (
        "mysql://u:hunter2@h/d",
        "mysql://h/d?user=u&password=hunter2",
        "postgresql://u:hunter2@h/d?sslkey=hunter2",
    ):
        assert "hunter2" not in (where := open_store(url, STATE).where)
        assert "h/d" in where
