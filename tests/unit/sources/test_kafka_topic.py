"""Transactions that stay open, as the lag is measured again and again."""

from consumerd.sources.kafka.topic import OPEN_LONG_S, OpenTransactions


def told(*measured: tuple[float, int, int]) -> list[str]:
    """What is said after each measurement: (when, where the oldest open transaction begins, the end)."""
    found = OpenTransactions()
    return [found.complaint("logins", 3, stable=stable, end=end, now=now) for now, stable, end in measured]


def test_a_transaction_that_stays_open_is_told_with_its_place_and_what_waits():
    first, later = told((5.0, 7, 20), (5.0 + OPEN_LONG_S, 7, 57))
    assert first == ""
    assert "open at offset 7 of partition 3 of logins, and 50 records wait" in later


def test_transactions_that_come_and_go_are_not_told():
    assert told((0.0, 7, 20), (20.0, 15, 30), (40.0, 25, 40)) == ["", "", ""]


def test_a_partition_without_an_open_transaction_is_not_told_however_long_it_rests():
    assert told((0.0, 7, 7), (100.0, 7, 7), (200.0, 7, 20)) == ["", "", ""]
