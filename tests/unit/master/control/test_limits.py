"""What the master writes into the table of limits, and when their helper is executed anew."""

from __future__ import annotations

import pytest

from consumerd.config.shape import LimitNumbers, LimitSettings, Settings
from consumerd.errors import ConsumerdError
from consumerd.master.control.limits import Limits
from consumerd.model.limits import Numbers
from consumerd.wire import limits
from consumerd.wire.shared_table import SharedTable

SERVER = "postgresql://app@db/app"
TABLE = LimitNumbers(database="partners.sqlite", query="SELECT name, at_once FROM partner")


class Master:
    """Its limits, and for which settings a helper was wanted."""

    def __init__(self, **settings: LimitSettings) -> None:
        self.table = SharedTable.create()
        self.helped: list[Settings | None] = []
        self.limits = Limits(self.table, self.settings(**settings), self.helped.append)

    def settings(self, **found: LimitSettings) -> Settings:
        return Settings(parking=SERVER, limits=found)

    def have(self, **settings: LimitSettings) -> None:
        self.helped.clear()
        self.limits.define(self.settings(**settings))

    def in_force(self, key: str, now_ns: int = 10**9) -> Numbers | None:
        defined = self.table.find(limits.row_name("channel"))
        assert defined is not None
        with self.table.changing(limits.row_name("channel", key)) as row:
            assert row is not None
            return limits.in_force(defined, row, now_ns)


OF_EACH_HOST = LimitSettings(at_once=20, each_host=True)


def test_a_limit_of_each_host_needs_no_helper_and_one_that_is_shared_waits_for_it() -> None:
    assert Master(channel=OF_EACH_HOST).helped == [None]
    shared = Master(channel=LimitSettings(at_once=20))
    assert shared.helped[1:] == [shared.settings(channel=LimitSettings(at_once=20))]
    assert (shared.in_force("a"), shared.limits.shown()[0].is_unshared) == (None, True)


def test_what_a_helper_gave_is_forgotten_when_the_limit_needs_none_any_more() -> None:
    master = Master(channel=LimitSettings(at_once=20, each_host=True, numbers=TABLE))
    assert master.in_force("a") is None
    assert limits.give(master.table, "channel", " a", Numbers(3), limits.KEPT) is not None
    assert master.in_force("a") == Numbers(3)
    master.have(channel=OF_EACH_HOST)
    assert (master.in_force("a"), master.helped) == (Numbers(20), [None])


def test_a_limit_that_becomes_shared_starts_nothing_before_the_helper_has_a_part() -> None:
    master = Master(channel=OF_EACH_HOST)
    master.have(channel=LimitSettings(at_once=30))
    assert (master.in_force("a"), len(master.helped)) == (None, 2)
    master.have(channel=LimitSettings(at_once=30))
    assert master.helped == [], "nothing has changed"
    master.have(channel=OF_EACH_HOST)
    assert master.in_force("a") == Numbers(20)


def test_a_change_for_which_there_is_no_place_leaves_the_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    master = Master(channel=LimitSettings(at_once=30))
    before = master.helped[-1]
    with monkeypatch.context() as full:
        full.setattr("consumerd.master.control.limits.define", lambda *args, **more: False)
        with pytest.raises(ConsumerdError, match="there is no place for the limit channel now"):
            master.have(channel=LimitSettings(at_once=20))
    assert before is not None
    assert master.helped == [None, before]


@pytest.mark.parametrize(
    ("times_full", "without_key", "shown"),
    [(0, 0, (2, 0)), (1, 0, (2, 2)), (0, 3, (5, 0)), (1, 3, (5, 2))],
    ids=["for a lock", "for a place", "for a lock, beside others", "for a place, beside others"],
)
def test_tasks_without_a_place_are_told_apart_only_where_the_table_was_full(
    monkeypatch: pytest.MonkeyPatch, times_full: int, without_key: int, shown: tuple[int, int]
) -> None:
    master = Master(channel=LimitSettings(at_once=20, each_host=True, by="app"))
    master.table.admit(0)
    own = master.table.find(limits.row_name("channel"))
    assert own is not None
    limits.note_waiting(own.own, without_key, 1, placeless=2)
    monkeypatch.setattr(SharedTable, "times_full", times_full)
    assert [(each.waiting, each.placeless) for each in master.limits.shown()] == [shown]
    assert limits.held_of(own) == (0, without_key), "of the row's own numbers, the others want none"
