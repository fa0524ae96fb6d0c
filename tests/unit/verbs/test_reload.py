"""What `consumerd reload` says of what differs."""

from __future__ import annotations

from consumerd.verbs.reload import Reload, Reloaded


def said(*changes: str, together: tuple[str, ...] = ()) -> list[str]:
    return list(Reload().lines(Reloaded(list(changes), [], [], list(together), is_applied=True)))


def test_of_a_pool_whose_workers_divide_the_keys_no_worker_is_on_trial() -> None:
    assert said("g/a replaced (key)", "g/b amended (workers)", "g/c replaced (key)", together=("g/a", "g/b")) == [
        "g/a replaced (key): its workers are replaced, all together: they divide the keys by their number",
        "g/b amended (workers): its workers are replaced, all together: they divide the keys by their number",
        "g/c replaced (key): its workers are replaced, the first one on trial",
    ]
    assert said() == ["nothing differs"]
