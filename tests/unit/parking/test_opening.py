"""From the setting `parking` to a URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumerd.database.urls import shown
from consumerd.errors import UsageError
from consumerd.parking.opening import check_parking, parking_url

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


@pytest.mark.parametrize(
    "parking", ["mysql:/app:hunter2@db", "postgresql//app:hunter2@db", "mysql://app:hunter2@h:x/d"]
)
def test_what_is_almost_a_url_is_not_repeated(parking: str) -> None:
    with pytest.raises(UsageError, match="no URL") as raised:
        parking_url(parking, STATE)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u@h/d?charset=utf-8", "is unknown: charset=utf-8"),
        ("mysql://u@h/d?ssl_mode=REQUIRED", "'ssl_mode'"),
        ("mysql://u@h/d?connect_timeout=soon", "'soon'"),
        ("mysql://u@h/d?connect_timeout=-1", "connect_timeout should be"),
        ("mysql://u@h/d?ssl_ca=/nowhere", "No such file"),
        ("postgresql://u@h/d?prepare_threshold=soon", "'soon'"),
        ("postgresql://u@h/d?frobnicate=1", 'invalid connection option "frobnicate"'),
        ("postgresql://u@h/d?connect_timeout=soon", "connect_timeout"),
    ],
)
def test_an_option_that_the_driver_does_not_take_is_refused_in_its_words(url: str, words: str) -> None:
    with pytest.raises(UsageError, match="`parking` has an option") as refused:
        check_parking(url, STATE)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u@h/d?charset=utf8&read_timeout=3&ssl_check_hostname=false",
        "postgresql://u@h/d?prepare_threshold=0&sslmode=require&application_name=a",
        "sqlite:////folder/file",
    ],
)
def test_options_of_the_driver_are_taken(url: str) -> None:
    check_parking(url, STATE)


def test_a_password_is_never_told() -> None:
    for url in (
        "mysql://u:hunter2@h/d",
        "mysql://h/d?user=u&password=hunter2",
        "postgresql://u:hunter2@h/d?sslkey=hunter2",
    ):
        assert "hunter2" not in (where := shown(parking_url(url, STATE)))
        assert "h/d" in where
