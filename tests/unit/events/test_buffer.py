from consumerd.events.buffer import FactBuffer
from consumerd.events.facts import Fact


def test_what_is_held_is_told_at_the_end_in_the_order_in_which_it_was_emitted() -> None:
    told: list[str] = []
    buffer = FactBuffer()
    log = buffer.before(lambda fact: told.append(f"log {fact.name}"))
    follower = buffer.before(lambda fact: told.append(f"follower {fact.name}"))
    log(Fact("before"))
    with buffer.holding():
        log(Fact("first"))
        follower(Fact("second"))
        log(Fact("third"))
        assert told == ["log before"]
    log(Fact("after"))
    assert told == ["log before", "log first", "follower second", "log third", "log after"]


def test_what_was_held_is_told_also_when_something_fails() -> None:
    told: list[str] = []
    buffer = FactBuffer()
    try:
        with buffer.holding():
            buffer.before(lambda fact: told.append(fact.name))(Fact("held"))
            raise RuntimeError
    except RuntimeError:
        assert told == ["held"]
    else:
        raise AssertionError("the failure was swallowed")
