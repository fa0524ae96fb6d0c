from consumerd.master.host.holders import Holders
from consumerd.wire.shared_table import HELD, HOLDERS, SharedTable


def test_the_lowest_free_number_is_given_and_whoever_is_gone_holds_nothing() -> None:
    holders = Holders()
    assert [holders.take(), holders.take(), holders.take()] == [0, 1, 2]
    with SharedTable(holders.table.fileno(), 1).changing("a") as row:
        assert row is not None
        row.own[HELD] = 5
    holders.give_back(1)
    (row,) = holders.table.rows()
    assert row.of_all(HELD) == [0, 0, 0]
    assert holders.take() == 1


def test_a_worker_too_many_has_no_number_and_the_next_has_one_once_one_is_gone() -> None:
    holders = Holders()
    numbers = [holders.take() for _ in range(HOLDERS + 1)]
    assert numbers[-2:] == [HOLDERS - 1, None]
    holders.give_back(None)
    holders.give_back(7)
    assert holders.take() == 7
