"""Hosts that share a limit, in one process: whoever looks next, dies or is late, no limit is exceeded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from consumerd.limits.parts import (
    TURN_S,
    Amounts,
    Look,
    Part,
    Share,
    as_text,
    divided,
    even_part,
    from_text,
    is_moving,
    joined,
)

LEASE_S = 30.0


class Hosts:
    """Each runs tasks of keys as its part lets it, and looks at the shares when it is told to."""

    def __init__(self, at_once: float = math.inf, per_second: float = math.inf) -> None:
        self.whole = Amounts(at_once, per_second)
        self.text = as_text({})
        self.now = 1000.0
        self.even: dict[str, int] = {}
        self.given: dict[tuple[str, str], Amounts] = {}
        self.running: dict[tuple[str, str], int] = {}
        self.wants: dict[tuple[str, str], int] = {}
        self.rates: dict[tuple[str, str], float] = {}
        self.until: dict[str, float] = {}

    def most(self, host: str, key: str = "") -> Amounts:
        """What a host lets start now."""
        if self.until.get(host, 0.0) <= self.now:
            return Amounts(0, 0.0)
        return self.given.get((host, key), even_part(self.whole, self.even.get(host, 0)))

    def look(self, host: str) -> None:
        """As the helper does it: what becomes less is less before it is written, what becomes more is so after."""
        shares = joined(from_text(self.text), host, f"token of {host}", self.now)
        keys = {key for name, key in (*self.running, *self.wants, *self.rates) if name == host}
        needs = {key: self._need(host, key) for key in keys}
        given = Look(shares, host, needs, lambda key: self.whole, self.now).parts()
        parts = {}
        for key, part in given.items():
            at_once = max(part.at_once, self.running.get((host, key), 0))
            parts[key] = Part(Amounts(at_once, part.per_second), needs.get(key, Amounts(0, 0.0)))
        mine = replace(shares[host], until=self.now + LEASE_S, parts=parts)
        self.text = as_text({**shares, host: mine})
        self.until[host], self.even[host] = mine.until, mine.even
        self.given = {place: part for place, part in self.given.items() if place[0] != host}
        self.given |= {(host, key): part for key, part in given.items()}
        self.check()

    def check(self) -> None:
        """No limit is exceeded, also where each host used all that it may."""
        for key in {key for _, key in (*self.given, *self.running)}:
            running = {host: self.running.get((host, key), 0) for host in self.even}
            assert sum(max(self.most(host, key).at_once, running[host]) for host in self.even) <= self.whole.at_once
            assert sum(self.most(host, key).per_second for host in self.even) <= self.whole.per_second * 1.000001

    def _need(self, host: str, key: str) -> Amounts:
        place = host, key
        return Amounts(self.running.get(place, 0) + self.wants.get(place, 0), self.rates.get(place, 0.0))

    def start(self, host: str, key: str = "") -> bool:
        running = self.running.get((host, key), 0)
        is_free = running < self.most(host, key).at_once
        if is_free:
            self.running[host, key] = running + 1
        return is_free

    def end(self, host: str, key: str = "") -> None:
        self.running[host, key] = max(0, self.running.get((host, key), 0) - 1)

    def settle(self, *hosts: str, rounds: int = 6) -> None:
        for _ in range(rounds):
            for host in hosts:
                self.now += 0.1
                self.look(host)


def test_a_host_that_is_alone_has_all_and_one_that_comes_waits_until_the_other_has_made_room() -> None:
    hosts = Hosts(at_once=20)
    hosts.look("a")
    assert hosts.most("a").at_once == 20
    hosts.look("b")
    assert hosts.most("b").at_once == 0
    hosts.look("a")
    hosts.look("b")
    assert (hosts.most("a").at_once, hosts.most("b").at_once) == (10, 10)
    assert not is_moving(from_text(hosts.text), lambda key: hosts.whole)


def test_what_is_used_on_one_host_alone_is_there_whole_and_comes_back() -> None:
    hosts = Hosts(at_once=20, per_second=100.0)
    hosts.settle("a", "b")
    hosts.wants["a", " wechat"], hosts.rates["a", " wechat"] = 60, 200.0
    hosts.settle("a", "b")
    assert (hosts.most("a", " wechat"), hosts.most("b", " wechat")) == (Amounts(20, 100.0), Amounts(0, 0.0))
    assert hosts.most("b", " other") == Amounts(10, 50.0)
    hosts.wants["b", " wechat"], hosts.rates["b", " wechat"] = 3, 10.0
    hosts.settle("a", "b")
    assert (hosts.most("a", " wechat"), hosts.most("b", " wechat")) == (Amounts(17, 90.0), Amounts(3, 10.0))
    hosts.wants.clear()
    hosts.rates.clear()
    hosts.settle("a", "b")
    assert from_text(hosts.text)["a"].parts == from_text(hosts.text)["b"].parts == {}


def test_the_part_of_a_host_that_is_gone_is_taken_when_its_lease_is_over() -> None:
    hosts = Hosts(at_once=20)
    hosts.settle("a", "b")
    hosts.now += LEASE_S / 2
    hosts.settle("a")
    assert hosts.most("a").at_once == 10
    hosts.now += LEASE_S / 2
    hosts.settle("a")
    assert hosts.most("a").at_once == 20


def test_one_task_at_once_goes_from_host_to_host() -> None:
    hosts = Hosts(at_once=1)
    hosts.settle("a", "b")
    had = set()
    hosts.wants["a", ""] = hosts.wants["b", ""] = 5
    for _ in range(4):
        hosts.settle("a", "b", rounds=2)
        had |= {host for host in "ab" if hosts.most(host).at_once}
        hosts.now += TURN_S
    assert had == {"a", "b"}


NEEDS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 30), min_size=1)


@given(st.integers(0, 40), NEEDS, st.integers(0, 9), st.booleans())
def test_a_division_gives_all_of_it_and_to_nobody_less_than_an_even_part_of_what_it_needs(
    whole: int, needs: dict[str, float], turn: int, is_rate: bool
) -> None:
    found = divided(float(whole) if is_rate else whole, needs, turn)
    assert math.isclose(sum(found.values()), whole)
    assert all(found[name] >= min(need, whole // len(needs)) for name, need in needs.items())
    assert is_rate or all(amount == int(amount) for amount in found.values())
    waste = [name for name, need in needs.items() if found[name] > need]
    assert not waste or all(found[name] >= need for name, need in needs.items())


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["look", "look", "start", "end", "want", "rate", "sleep", "late", "anew"]),
        st.sampled_from("abc"),
        st.sampled_from(["", " x"]),
        st.integers(0, 30),
    ),
    max_size=120,
)


@given(STEPS, st.integers(0, 7), st.sampled_from([1.0, 100.0]), st.sampled_from(["", "ab", "abc"]))
def test_whatever_happens_no_limit_is_exceeded_and_what_one_host_alone_needs_it_has_in_the_end(
    steps: Sequence[tuple[str, str, str, int]], at_once: int, per_second: float, there: str
) -> None:
    hosts = Hosts(at_once, per_second)
    hosts.settle(*there)
    for step, host, key, number in steps:
        match step:
            case "look":
                hosts.look(host)
            case "start":
                hosts.start(host, key)
            case "end":
                hosts.end(host, key)
            case "want":
                hosts.wants[host, key] = number
            case "rate":
                hosts.rates[host, key] = float(number * 10)
            case "sleep":
                hosts.now += number / 100
            case "late":  # what runs beyond a lease is out of anybody's reach
                hosts.now += LEASE_S + 1
                hosts.running.clear()
            case "anew":  # a helper that was killed: another one goes on with what stands there
                hosts.look(host)
        hosts.check()
    hosts.running.clear()
    hosts.wants.clear()
    hosts.rates.clear()
    hosts.wants["a", " x"] = 50
    hosts.settle(*"abc", rounds=12)
    assert hosts.most("a", " x").at_once == at_once


def test_shares_are_read_as_they_were_written() -> None:
    shares = {"a": Share("t", 5.0, 2, {" x": Part(Amounts(3, math.inf), Amounts(4, 2.5))})}
    assert from_text(as_text(shares)) == shares
