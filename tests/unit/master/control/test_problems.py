"""What `status` says of a destination that is away."""

from __future__ import annotations

from consumerd.master.control.problems import for_how_long
from consumerd.model.limits import SECOND_NS
from consumerd.wire.destinations import Destination, State


def test_who_has_begun_to_return_is_not_said_to_have_been_open_all_the_time() -> None:
    first = Destination(State.OPEN, since_ns=10 * SECOND_NS, changed_ns=10 * SECOND_NS)
    again = Destination(State.OPEN, since_ns=10 * SECOND_NS, changed_ns=71 * SECOND_NS)
    held = Destination(State.HELD, since_ns=10 * SECOND_NS, changed_ns=71 * SECOND_NS)
    assert for_how_long(first, 74.0) == "for 64 s"
    assert for_how_long(again, 74.0) == "for 3 s again, and not closed for 64 s"
    assert for_how_long(held, 74.0) == "for 3 s"
