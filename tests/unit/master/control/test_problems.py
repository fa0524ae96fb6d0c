"""What `status` says of a destination that is away, and of a worker that has stopped by itself."""

from __future__ import annotations

from consumerd.master.control.problems import absence, for_how_long
from consumerd.model.limits import SECOND_NS
from consumerd.wire.destinations import Destination, State
from consumerd.wire.status import Flag


def test_who_has_begun_to_return_is_not_said_to_have_been_open_all_the_time() -> None:
    first = Destination(State.OPEN, since_ns=10 * SECOND_NS, changed_ns=10 * SECOND_NS)
    again = Destination(State.OPEN, since_ns=10 * SECOND_NS, changed_ns=71 * SECOND_NS)
    held = Destination(State.HELD, since_ns=10 * SECOND_NS, changed_ns=71 * SECOND_NS)
    assert for_how_long(first, 74.0) == "for 64 s"
    assert for_how_long(again, 74.0) == "for 3 s again, and not closed for 64 s"
    assert for_how_long(held, 74.0) == "for 3 s"


def test_what_to_do_where_all_tasks_die_names_the_target() -> None:
    said = absence(Flag(away="failing", since=0.0, error="KeyError"), "shop/mails")
    assert said.endswith("KeyError; mend it, then consumerd restart shop/mails, or resume")
