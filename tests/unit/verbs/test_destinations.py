"""What `consumerd destinations` says of one."""

from __future__ import annotations

import pytest

from consumerd import clock
from consumerd.model.limits import SECOND_NS
from consumerd.verbs.destinations import status_of
from consumerd.wire.destination_rows import Seen
from consumerd.wire.destinations import Destination, State


@pytest.mark.parametrize("state", [State.OPEN, State.RETURNING, State.HELD])
def test_its_time_is_that_of_the_state_which_it_is_in(state: State) -> None:
    now_ns = int(clock.monotonic() * SECOND_NS)
    destination = Destination(state, since_ns=now_ns - 64 * SECOND_NS, changed_ns=now_ns - 3 * SECOND_NS)
    status = status_of("g/n", Seen("game-7", "", destination, is_probed=False, waiting=2), "refused")
    assert status.since is not None
    assert (status.state, status.error, status.waiting) == (state.name.lower(), "refused", 2)
    assert status.since == pytest.approx(clock.wall() - 3.0, abs=30.0)


def test_who_is_closed_has_no_time() -> None:
    assert status_of("g/n", Seen("game-7", "", Destination(), is_probed=False, waiting=0), "").since is None
