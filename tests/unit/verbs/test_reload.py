"""What `consumerd reload` says of what differs."""

from __future__ import annotations

from consumerd.verbs.reload import Reload, Reloaded


def said(*changes: str, together: tuple[str, ...] = ()) -> list[str]:
    return list(Reload().lines(Reloaded(list(changes), [], [], list(together), is_applied=True)))


def test_workers_that_divide_the_keys_by_their_number_are_replaced_with_another_number() -> None:
    assert said("g/b amended (workers)", "g/c replaced (key)", together=("g/b",)) == [
        "g/b amended (workers): its workers are replaced, one by one: they divide the keys by their number",
        "g/c replaced (key): its workers are replaced, the first one on trial",
    ]
    assert said() == ["nothing differs"]


def test_a_setting_that_restarts_a_consumer_is_not_said_to_restart_nobody() -> None:
    def said_of(change: str) -> list[str]:
        return list(Reload().lines(Reloaded([change], ["limits"], [], [], is_applied=True)))[1:]

    assert said_of("g/b replaced (workers, limits)") == ["limits: taken over"]
    assert said_of("g/b replaced (key)") == ["limits: taken over, nobody restarts"]
