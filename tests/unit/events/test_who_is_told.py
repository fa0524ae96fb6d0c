"""Who hears of an event besides the log."""

from __future__ import annotations

import pytest

from consumerd import events
from consumerd.events.facts import Audience, Event


@pytest.mark.parametrize("event", [events.task_deferred, events.spans_dropped])
def test_the_master_knows_of_what_a_person_may_look_at(event: Event) -> None:
    assert event.to & (Audience.MASTER | Audience.MASTER_IF_IT_READS)
