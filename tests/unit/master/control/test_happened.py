"""What has happened is counted by consumer, the workers' reports too."""

from __future__ import annotations

from consumerd import events
from consumerd.events.facts import Fact
from consumerd.master.control.happened import Happened
from consumerd.master.rules.restart import Cause


def test_partitions_and_ends_are_counted_by_consumer() -> None:
    happened = Happened()
    for name, partitions in (("partitions_assigned", [1, 2, 3]), ("partitions_lost", [2]), ("partitions_assigned", [])):
        happened(Fact(name, fields={"consumer": "g/a", "topic": "t", "partitions": partitions}))
    for cause in (Cause.KILLED, Cause.KILLED, Cause.CRASHED):
        happened(
            events.worker_ended(consumer="g/a", worker_id=0, pid=1, generation=1, end="SIGKILL", cause=cause.value)
        )
    assert happened.partitions["g/a"] == {"assigned": 3, "lost": 1}
    assert happened.ends["g/a"] == {("killed", "SIGKILL"): 2, ("crashed", "SIGKILL"): 1}
    assert happened.events["g/a"]["partitions_assigned"] == 2
