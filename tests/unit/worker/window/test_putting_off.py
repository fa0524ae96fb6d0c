"""Tasks that wait for what is down: when they are put off, and which stay."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.model.outcome import Expired, Retry, RetryPolicy
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import Task, TaskId
from consumerd.sources.memory import MemorySource
from consumerd.testing import ManualClock
from consumerd.worker.attempts.attempt import Attempt, Conclusion
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.interrupts import StopDeadline
from consumerd.worker.window.in_hand import BatchInHand, InHand
from consumerd.worker.window.lineup import Lineup
from consumerd.worker.window.putting_off import LONGEST_S, SHORTEST_S, Away, PuttingOff

GATE = "destination g/n game-7"
DEFERRING = RetryPolicy(back_off_s=10.0, expire_s=60.0)
PARKED = ParkedTask(
    consumer="g/n", task_id=TaskId("t:1"), source="t", shard=0, position=1, offset=1, state=ParkedState.WAITING,
    due_at=0.0, attempts=1, first_at=0.0, last_at=0.0, error="", traceback="", payload=b"",
)  # fmt: skip


@dataclass
class Filled(MemorySource):
    """A source of which so much is unsettled."""

    used: float = 0.0

    def unsettled(self) -> int:
        return int(self.used * 100)


@dataclass
class Waiting:
    """Tasks at one gate: `p` is a parked one, `t` one of a batch, `a` one of a batch that was tried before."""

    tasks: str
    policy: RetryPolicy = DEFERRING
    configs: dict[str, object] = field(default_factory=dict)
    is_positional: bool = False

    def __post_init__(self) -> None:
        self.lineup: Lineup[InHand] = Lineup()
        self.clock = ManualClock()
        self.source = Filled()
        self.source.traits = replace(self.source.traits, durable_defer=False, positional=self.is_positional)
        common = CommonKeys.model_validate({"max_unsettled": 100, "concurrency": 8, **self.configs})
        context = WorkerContext(
            name="g/n", lease_owner="", common=common, options=None, emit=lambda fact: None,
            deadline=StopDeadline(25.0), clock=self.clock,
        )  # fmt: skip
        self.putting_off = PuttingOff(context, self.source, self.lineup, self.policy, 8)
        self.items = [self._item(kind, number) for number, kind in enumerate(self.tasks)]
        for item in self.items:
            self.lineup.add(item)
            self.lineup.hold(self.lineup.next(0.0) or item, GATE, 1e9)

    def _item(self, kind: str, number: int) -> InHand:
        attempts, first_at = (1, self.clock.wall() - 50) if kind == "a" else (0, None)
        made = Task(TaskId(f"t:{number}"), number, "t", 0, number, b"", attempts=attempts, first_at=first_at)
        came_in = PARKED if kind == "p" else BatchInHand(None, 1)  # type: ignore[arg-type]  # is not looked at
        return InHand(Attempt(made, lambda is_again: None), came_in)

    def put_off(self, *, used: float = 0.0, away_s: float = 0.0, is_returning: bool = False) -> dict[int, Conclusion]:
        self.source.used = used
        self.clock.advance(1.0)
        found = {
            task.task.offset: said for task, said in self.putting_off.when_full([Away(GATE, away_s, is_returning)])
        }
        assert sorted(found) == sorted(
            item.task.offset for item in self.items if item not in self.lineup.held(GATE) and item.task.offset in found
        )
        return found


def test_they_wait_in_hand_while_there_is_room() -> None:
    assert Waiting("tttttttttt").put_off(used=0.49) == {}


def test_all_but_the_newest_are_put_off_when_half_is_used_up() -> None:
    waiting = Waiting("tttt")
    put_off = waiting.put_off(used=0.5)
    assert sorted(put_off) == [0, 1, 2]
    assert [item.task.offset for item in waiting.lineup.held(GATE)] == [3]
    assert {said.was_tried for said in put_off.values()} == {False}
    assert waiting.put_off(used=0.6) == {}
    assert sorted(waiting.put_off(used=0.75)) == [3]


@pytest.mark.parametrize(
    ("away_s", "longest_s", "expected"),
    [(0.0, None, SHORTEST_S), (20.0, None, 20.0), (3600.0, None, LONGEST_S), (3600.0, 30.0, 30.0)],
)
def test_for_as_long_as_their_destination_was_down(away_s: float, longest_s: float | None, expected: float) -> None:
    policy = RetryPolicy(back_off_s=10.0, max_back_off_s=longest_s)
    outcome = Waiting("tt", policy).put_off(used=0.5, away_s=away_s)[0].outcome
    assert isinstance(outcome, Retry)
    assert 0.8 * expected <= outcome.after <= expected


def test_a_task_that_was_tried_expires_and_one_that_was_not_does_not() -> None:
    put_off = Waiting("att").put_off(used=0.5, away_s=30.0)
    assert isinstance(put_off[0].outcome, Expired)
    assert isinstance(put_off[1].outcome, Retry)


def test_a_task_whose_attempts_did_not_count_expires_where_it_waits() -> None:
    waiting = Waiting("ttt")
    waiting.items[1].attempt.first_at = waiting.clock.wall()
    assert waiting.put_off() == {}
    waiting.clock.advance(60.0)
    [(offset, said)] = waiting.put_off().items()
    assert (offset, type(said.outcome)) == (1, Expired)


def test_parked_tasks_that_are_due_again_do_not_take_the_places_of_others() -> None:
    assert sorted(Waiting("tpptp").put_off()) == [1, 2]
    assert Waiting("tpp").put_off() == {}


@pytest.mark.parametrize(("policy", "configs"), [(RetryPolicy(), {}), (DEFERRING, {"ordered": "key"})])
def test_where_they_may_not_be_put_off_they_wait(policy: RetryPolicy, configs: dict[str, object]) -> None:
    assert Waiting("tttt", policy, configs).put_off(used=1.0) == {}
    assert sorted(Waiting("tpppt", policy, configs).put_off(used=1.0)) == [1, 2]


@pytest.mark.parametrize("is_positional", [True, False])
def test_of_what_is_left_nothing_that_waits_has_what_came_later_repeated(is_positional: bool) -> None:
    waiting = Waiting("tptt", is_positional=is_positional)
    kept = waiting.items[2]
    left = waiting.putting_off.when_left([Away(GATE, 3.0)], lambda task: task is not kept)
    assert [task.task.offset for task, _ in left] == ([0, 3] if is_positional else [])


@pytest.mark.parametrize(("is_returning", "how"), [(False, "down"), (True, "returning")])
def test_what_expires_where_it_waits_says_how_its_destination_is(how: str, *, is_returning: bool) -> None:
    waiting = Waiting("a")
    waiting.clock.advance(20.0)
    (said,) = waiting.put_off(is_returning=is_returning).values()
    assert said.failure is not None
    assert isinstance(said.outcome, Expired)
    assert said.failure.error == f"it waits for game-7, which is {how}; no attempt was made"
