"""Hosts that share a limit by a row of text, each with its own table, in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from consumerd.errors import StoreAwayError
from consumerd.limits.helped import HelpedLimit, TakenOverError
from consumerd.limits.numbers import NumbersOfKeys
from consumerd.limits.parts import from_text
from consumerd.model.limits import Numbers
from consumerd.wire import limits
from consumerd.wire.limits import define
from consumerd.wire.shared_table import HELD, SharedTable

NOW_NS = 2**62


class Store:
    """The row of a limit. is_late: what was asked is done, and nobody is told so."""

    def __init__(self) -> None:
        self.text = "{}"
        self.now = 1000.0
        self.is_late = False
        self.before_commit: Callable[[], object] = lambda: None

    def change(self, name: str, step: Callable[[str, float], str]) -> str:
        self.text = step(self.text, self.now)
        self.before_commit()
        if self.is_late:
            raise StoreAwayError("nobody knows")
        return self.text


class Host:
    """One host: its table, and the limit `channel` in it, of 20 at once."""

    def __init__(self, name: str, numbers: NumbersOfKeys | None = None) -> None:
        self.name = name
        self.table = SharedTable.create()
        assert define(self.table, "channel", Numbers(20), are_given=numbers is not None, is_shared=True)
        self.numbers = numbers
        self.restart()

    def restart(self) -> None:
        """Another helper comes."""
        self.limit = HelpedLimit("channel", Numbers(20), self.numbers, self.table, threading.Lock())
        self.token = f"{self.name} {id(self.limit)}"

    def look(self, store: Store) -> None:
        self.limit.look(store.change, self.name, self.token)

    def use(self, key: str, held: int, waiting: int) -> None:
        with self.table.changing(limits.row_name("channel", key)) as row:
            assert row is not None
            row.own[HELD], row.own[limits.WAITING] = held, waiting

    def may(self, key: str) -> int:
        """How many of a key may run at once."""
        defined = self.table.find(limits.row_name("channel"))
        row = self.table.find(limits.row_name("channel", key))
        assert defined is not None
        return limits.given_now(defined, row).at_once

    def is_held_up(self, now_ns: int) -> bool:
        return limits.hosts_of(self.table, "channel", now_ns)[1]


def settle(store: Store, *hosts: Host) -> None:
    for _ in range(5):
        for host in hosts:
            host.look(store)


def test_nothing_starts_before_the_first_look_and_after_the_lease() -> None:
    store, host = Store(), Host("a")
    assert host.is_held_up(10**9)
    host.look(store)
    assert not host.is_held_up(10**9)
    assert host.is_held_up(NOW_NS)
    assert (host.may("wechat"), host.limit.hosts) == (20, 1)


def test_two_hosts_have_an_even_part_and_what_one_alone_wants_moves_to_it() -> None:
    store, a, b = Store(), Host("a"), Host("b")
    settle(store, a, b)
    assert (a.may("wechat"), b.may("wechat")) == (10, 10)
    b.use("wechat", held=3, waiting=0)
    a.use("wechat", held=10, waiting=40)
    settle(store, a, b)
    assert (a.may("wechat"), b.may("wechat")) == (17, 3)
    assert (a.may("other"), b.may("other")) == (10, 10)


def test_who_uses_more_than_its_part_starts_nothing_and_gives_up_as_its_tasks_end() -> None:
    store, a, b = Store(), Host("a"), Host("b")
    a.look(store)
    a.use("wechat", held=16, waiting=30)
    b.use("wechat", held=0, waiting=30)
    settle(store, b, a)
    assert (a.may("wechat"), b.may("wechat")) == (10, 4)
    b.use("wechat", held=4, waiting=30)
    a.use("wechat", held=12, waiting=30)
    settle(store, a, b)
    assert (a.may("wechat"), b.may("wechat")) == (10, 8)
    a.use("wechat", held=10, waiting=30)
    settle(store, a, b)
    assert (a.may("wechat"), b.may("wechat")) == (10, 10)


def test_what_becomes_less_is_less_before_it_is_written_and_what_becomes_more_is_not() -> None:
    store, a, b = Store(), Host("a"), Host("b")
    a.look(store)
    b.look(store)
    seen = list[int]()
    store.before_commit = lambda: seen.append(a.may("wechat"))
    a.look(store)
    assert seen == [10]
    b.limit.leave(store.change, "b", b.token)
    a.look(store)
    assert (seen[-1], a.may("wechat")) == (10, 20)


@pytest.mark.parametrize("has_numbers", [False, True])
def test_a_part_is_not_made_larger_while_nobody_knows_what_was_written(has_numbers: bool) -> None:
    numbers = NumbersOfKeys("channel", Numbers(20), lambda fact: None, lambda: (("name", "at_once"), []))
    numbers.refresh()
    store, a, b = Store(), *(Host(name, numbers if has_numbers else None) for name in "ab")
    settle(store, a, b)
    a.use("wechat", held=0, waiting=30)
    settle(store, a, b)
    assert (a.may("wechat"), b.may("wechat")) == (20, 0)
    a.use("wechat", held=0, waiting=10)
    b.use("wechat", held=0, waiting=30)
    store.is_late = True
    with pytest.raises(StoreAwayError):
        b.look(store)
    store.is_late = False
    a.look(store)
    store.is_late = True
    with pytest.raises(StoreAwayError):
        a.look(store)
    assert a.may("wechat") == 10
    store.is_late = False
    b.look(store)
    a.limit.tell(a.limit.rows())
    assert (a.may("wechat"), b.may("wechat")) == (10, 10)


def test_what_was_reduced_stays_so_until_the_row_is_known_again() -> None:
    numbers = NumbersOfKeys("channel", Numbers(20), lambda fact: None, lambda: (("name", "at_once"), []))
    numbers.refresh()
    store, a, b = Store(), Host("a", numbers), Host("b", numbers)
    a.use("wechat", held=0, waiting=1)
    a.look(store)
    b.look(store)
    assert a.may("wechat") == 20
    store.is_late = True
    with pytest.raises(StoreAwayError):
        a.look(store)
    a.limit.tell(a.limit.rows())
    assert a.may("wechat") == 10


def test_another_helper_goes_on_with_what_stands_there_and_the_one_before_it_gives_up() -> None:
    store, a, b = Store(), Host("a"), Host("b")
    a.use("wechat", held=0, waiting=30)
    settle(store, a, b)
    before = a.limit, a.token
    a.restart()
    a.look(store)
    assert (a.may("wechat"), b.may("wechat")) == (20, 0)
    with pytest.raises(TakenOverError):
        before[0].look(store.change, "a", before[1])


def test_a_host_that_leaves_gives_all_of_it_up_at_once() -> None:
    store, a, b = Store(), Host("a"), Host("b")
    settle(store, a, b)
    b.limit.leave(store.change, "b", b.token)
    settle(store, a)
    assert (a.may("wechat"), set(from_text(store.text))) == (20, {"a"})


def test_each_key_has_an_even_part_of_its_own_number() -> None:
    rows = [("wechat", 8), ("off", 0)]
    numbers = NumbersOfKeys("channel", Numbers(20), lambda fact: None, lambda: (("name", "at_once"), rows))
    store, a, b = Store(), Host("a", numbers), Host("b", numbers)
    a.use("wechat", held=0, waiting=1)
    a.look(store)
    assert (a.may("wechat"), a.is_held_up(10**9)) == (0, True), "nobody has asked the database"
    numbers.refresh()
    settle(store, a, b)
    for key in ("wechat", "off", "other"):
        a.use(key, held=0, waiting=1)
    a.limit.tell(a.limit.rows())
    assert (a.may("wechat"), a.may("off"), a.may("other")) == (4, 0, 10)
    rows[0] = ("wechat", 2)
    numbers.refresh()
    a.limit.tell(a.limit.rows())
    assert a.may("wechat") == 1


def test_without_other_hosts_the_numbers_of_keys_are_given_whole() -> None:
    numbers = NumbersOfKeys("channel", Numbers(20), lambda fact: None, lambda: (("name", "at_once"), [("wechat", 8)]))
    numbers.refresh()
    host = Host("a", numbers)
    host.use("wechat", held=0, waiting=1)
    host.limit.unshare()
    host.limit.tell(host.limit.rows())
    assert (host.may("wechat"), host.is_held_up(NOW_NS)) == (8, False)
