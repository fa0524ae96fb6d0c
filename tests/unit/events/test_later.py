from consumerd.events.facts import Fact
from consumerd.events.later import Later


def test_what_is_held_is_told_at_the_end_in_the_order_in_which_it_was_emitted() -> None:
    told: list[str] = []
    later = Later()
    log, follower = (later.of(lambda fact, who=who: told.append(f"{who} {fact.name}")) for who in ("log", "follower"))
    log(Fact("before"))
    with later.holding():
        log(Fact("first"))
        follower(Fact("second"))
        log(Fact("third"))
        assert told == ["log before"]
    log(Fact("after"))
    assert told == ["log before", "log first", "follower second", "log third", "log after"]


def test_what_was_held_is_told_also_when_something_fails() -> None:
    told: list[str] = []
    later = Later()
    try:
        with later.holding():
            later.of(lambda fact: told.append(fact.name))(Fact("held"))
            raise RuntimeError
    except RuntimeError:
        assert told == ["held"]
    else:
        raise AssertionError("the failure was swallowed")
