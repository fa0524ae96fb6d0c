from consumerd.events.facts import Fact, Level
from consumerd.events.listeners import Listeners


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
