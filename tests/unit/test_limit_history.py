from integration.scenarios.limit_history import Ran, attempts, begun_a_second, mean_at_once, most_at_once, most_too_many

S = 1_000_000_000


def test_an_attempt_ends_where_its_end_is_written_or_its_worker_was_killed() -> None:
    lines = ["begin a 1 77 10", "begin a 2 78 20", "begin b 3 79 30", "end a 1 77 40"]
    assert attempts(lines, {78: 50}, 90) == [Ran("a", 10, 40), Ran("a", 20, 50), Ran("b", 30, 90)]


def test_what_ends_as_another_begins_does_not_run_beside_it() -> None:
    ran = [Ran("a", 0, 2 * S), Ran("a", 2 * S, 4 * S), Ran("a", 3 * S, 4 * S)]
    assert (most_at_once(ran), mean_at_once(ran, 0, 4 * S)) == (2, 1.25)


def test_a_rate_is_exceeded_by_what_begins_too_early() -> None:
    even = [Ran("a", number * S // 10, 0) for number in range(50)]
    assert (most_too_many(even, 10), begun_a_second(even, 0, 5 * S)) == (0.0, 10.0)
    assert most_too_many([*even, Ran("a", 5 * S, 0), Ran("a", 5 * S, 0)], 10) == 1.0
    assert most_too_many([Ran("a", 0, 0)] * 7, 10) == 6.0
