from consumerd.events.facts import Fact, Level
from consumerd.events.listeners import FactBuffer, Listeners


def failing(fact: Fact) -> None:
    raise RuntimeError(f"no {fact.name}")


def test_every_listener_is_told_in_order() -> None:
    told: list[str] = []
    listeners = Listeners([lambda fact: told.append(f"first {fact.name}")])
    listeners.add(lambda fact: told.append(f"second {fact.name}"))
    listeners(Fact("x"))
    assert told == ["first x", "second x"]


def test_a_listener_that_fails_is_told_of_to_the_others_and_keeps_nothing_from_them() -> None:
    told: list[Fact] = []
    Listeners([failing, told.append])(Fact("x"))
    assert [fact.name for fact in told] == ["listener_failed", "x"]
    assert told[0].level is Level.ERROR
    assert "no x" in str(told[0].fields["error"])


def test_listeners_that_all_fail_end_in_silence() -> None:
    Listeners([failing, failing])(Fact("x"))


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
