"""Which requests are taken, by the names and origins that browsers send."""

from __future__ import annotations

import pytest

from consumerd.dashboard.access.origin import comes_from_us, is_loopback, is_ours

NAMES = ("consumers.example.org", "inner.example.org:8443")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:9464",
        "127.0.0.1:9464",
        "10.1.2.3",
        "[::1]:9464",
        "consumers.example.org",
        "Consumers.Example.ORG",
        "consumers.example.org:443",
        "inner.example.org:8443",
    ],
)
def test_our_names_and_addresses_are_taken(host: str) -> None:
    assert is_ours(host, NAMES)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:9464",
        "inner.example.org",
        "user@localhost",
        "localhost:port",
        "localhost/path",
        "[::1",
        "a b",
        "1.2.3",
    ],
)
def test_no_other_name_is(host: str) -> None:
    assert not is_ours(host, NAMES)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:9464", "127.0.0.1:9464"),
        ("https://consumers.example.org", "consumers.example.org"),
        ("https://consumers.example.org:443", "consumers.example.org"),
        ("http://[::1]:9464", "[::1]:9464"),
    ],
)
def test_a_form_of_our_own_page_is_taken(origin: str, host: str) -> None:
    assert comes_from_us(origin, host)


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "http://evil.example",
        "http://127.0.0.1:9465",
        "http://127.0.0.1",
        "http://127.0.0.1:9464.evil.example",
        "http://127.0.0.1:9464/path",
        "ftp://127.0.0.1:9464",
        "127.0.0.1:9464",
        "http://[",
    ],
)
def test_no_other_form_is(origin: str | None) -> None:
    assert not comes_from_us(origin, "127.0.0.1:9464")


def test_only_loopback_is_this_machine_alone() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "")))
