"""One task, from its payload to its outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from consumerd import BaseConsumer
from consumerd.errors import UndecodableError
from consumerd.events.facts import Fact
from consumerd.model.by_error import ByError
from consumerd.model.outcome import DONE, Dead, Expired, Retry, RetryPolicy
from consumerd.model.task import Task, TaskId
from consumerd.testing.clock import ManualClock
from consumerd.testing.running import context_in_memory
from consumerd.wire.board import read_words
from consumerd.worker.attempts.attempt import VERDICTS, Attempt, Conclusion, Unfinished
from consumerd.worker.attempts.attempts import PAUSE_AT_ONCE_S, Attempts
from consumerd.worker.attempts.breaker import Breaker
from consumerd.worker.attempts.hooks import Fullness, Hooks
from consumerd.worker.attempts.judge import Judge
from consumerd.worker.attempts.maker import AttemptMaker
from consumerd.worker.tasks.context import Link, Redaction
from consumerd.worker.tasks.interrupts import Interrupt, Interrupts

TASK = Task(id=TaskId("t:1"), offset=1, source="t", shard=0, position=1, payload=b'{"uid": 7}')
RECORD = {"uid": 7}


class Odd(Exception):  # noqa: N818 - of nobody's family
    pass


@dataclass
class Bench:
    """Attempts by one policy, with what the handler does next, and what was seen."""

    policy: RetryPolicy
    results: list[object]
    clock: ManualClock = field(default_factory=ManualClock)
    waits: list[float] = field(default_factory=list)
    silences: list[float] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    calls: list[tuple[int, object]] = field(default_factory=list)
    raises_verdicts: bool = False
    is_stopping: bool = False
    is_stopped_by_a_wait: bool = False

    def __post_init__(self) -> None:
        context = replace(
            context_in_memory(self.clock, self.facts, {"memory_limit": "1GiB"}),
            member="0.shop.Mail.0",
            interrupts=Interrupts(sleep=self.wait),
            redact=Redaction(lambda text: text.replace("hunter2", "***")),
        )
        self.interrupts, self.words = context.interrupts, context.words
        context.board.lane.begin(0)
        fullness = Fullness(context)
        hooks = Hooks(context, BaseConsumer(0), Link(), fullness)
        breaker = Breaker(context, is_kept=True)
        self.maker = AttemptMaker(context, self.handle, hooks, fullness)
        judge = Judge(context, self.policy, breaker, retries_elsewhere=False)
        self.attempts = Attempts(context, self.maker, judge, hooks, fullness)

    def conclude(
        self, task: Task, decode: Callable[[], object], already: BaseException | Retry | Dead | None = None
    ) -> Conclusion:
        """The conclusion, by a loop that attends to interrupts. already: how a first attempt has ended elsewhere."""
        ended = already if already is None or isinstance(already, VERDICTS) else self.maker.raised(already)
        self.attempts.begin(Attempt(task, lambda is_again: decode(), has_record=already is not None, ended=ended))
        while (conclusion := self.attempts.go_on()) is None:
            if Interrupt.STOP in self.interrupts.take():
                self.attempts.leave()
        return conclusion

    def handle(self, *, offset: int, record: object) -> object:
        self.calls.append((offset, record))
        if self.is_stopping:
            self.interrupts.set(Interrupt.STOP)
        result = self.results.pop(0)
        if isinstance(result, BaseException) and (self.raises_verdicts or not isinstance(result, VERDICTS)):
            raise result
        return result

    def wait(self, seconds: float) -> None:
        self.waits.append(round(seconds, 6))
        [lane] = read_words(self.words).lanes
        self.silences.append(self.clock.monotonic() - lane.attempt_since_ns / 1e9 + seconds)
        self.clock.advance(seconds)
        if self.is_stopped_by_a_wait:
            self.interrupts.set(Interrupt.STOP)


def decoded() -> object:
    return RECORD


def test_a_task_for_which_the_memory_was_not_enough_has_failed_and_the_worker_leaves_after_its_attempts() -> None:
    bench = Bench(RetryPolicy(retry_times=1), results=[MemoryError(), MemoryError()])
    conclusion = bench.conclude(TASK, decoded)
    assert isinstance(conclusion.outcome, Dead)
    assert conclusion.task.attempts == 2
    assert [fact.name for fact in bench.facts] == ["task_failed", "task_failed", "worker_full"]
    assert Interrupt.OUT_OF_MEMORY in bench.interrupts.take()


def test_a_payload_is_not_to_blame_where_a_full_worker_cannot_decode_it() -> None:
    def decode() -> object:
        raise MemoryError

    bench = Bench(RetryPolicy(), results=[])
    with pytest.raises(MemoryError):
        bench.conclude(TASK, decode)


def test_a_handler_that_returns_is_done() -> None:
    bench = Bench(RetryPolicy(), results=[None])
    conclusion = bench.conclude(TASK, decoded)
    assert conclusion.outcome == DONE
    assert bench.calls == [(1, RECORD)]
    assert bench.facts == []


@pytest.mark.parametrize("value", [True, 0, "text", object()])
def test_any_other_value_is_done_too(value: object) -> None:
    assert Bench(RetryPolicy(), results=[value]).conclude(TASK, decoded).outcome == DONE


def test_a_failure_is_tried_again_with_the_linear_back_off() -> None:
    bench = Bench(RetryPolicy(retry_times=3, basic_interval_s=0.1), results=[ValueError(), ValueError(), OSError(), 1])
    conclusion = bench.conclude(TASK, decoded)
    assert conclusion.outcome == DONE
    assert conclusion.task.attempts == 3
    assert bench.waits == [0.1, 0.2]
    assert [fact.fields["attempt"] for fact in bench.facts] == [1, 2, 3]


def test_a_long_pause_between_two_attempts_is_no_attempt_that_does_not_end() -> None:
    bench = Bench(RetryPolicy(retry_times=2, basic_interval_s=3600.0), results=[ValueError(), ValueError(), 1])
    assert bench.conclude(TASK, decoded).outcome == DONE
    assert (sum(bench.waits), max(bench.waits)) == (3600.0, PAUSE_AT_ONCE_S)
    assert max(bench.silences) == pytest.approx(PAUSE_AT_ONCE_S)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_anything_raised_is_a_failed_attempt(error: BaseException) -> None:
    conclusion = Bench(RetryPolicy(), results=[error]).conclude(TASK, decoded)
    assert isinstance(conclusion.outcome, Dead)
    assert conclusion.failure is not None
    assert conclusion.failure.error.startswith(type(error).__name__)
    assert conclusion.task.attempts == 1


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), BrokenPipeError()])
@pytest.mark.parametrize("is_stopping", [True, False], ids=["asked before", "asked a moment later"])
def test_an_attempt_that_ends_with_its_worker_has_not_failed(error: BaseException, is_stopping: bool) -> None:
    bench = Bench(RetryPolicy(), results=[error], is_stopping=is_stopping, is_stopped_by_a_wait=True)
    conclusion = bench.conclude(TASK, decoded)
    assert (conclusion.outcome, conclusion.task.attempts, bench.facts) == (Unfinished.CUT_OFF, 0, [])
    assert conclusion.failure is not None, "from a generator it is parked, with a reason"


def test_a_first_attempt_made_elsewhere_counts() -> None:
    bench = Bench(RetryPolicy(retry_times=1), results=[ValueError("second")])
    conclusion = bench.conclude(TASK, decoded, already=ValueError("first"))
    assert len(bench.calls) == 1
    assert conclusion.task.attempts == 2
    assert isinstance(conclusion.outcome, Dead)


def test_attempts_of_earlier_rounds_count_and_the_first_time_is_kept() -> None:
    bench = Bench(RetryPolicy(back_off_s=10, max_back_off_s=100), results=[ValueError()])
    earlier = TASK._replace(attempts=2, first_at=5.0)
    conclusion = bench.conclude(earlier, decoded)
    assert conclusion.task.attempts == 3
    assert conclusion.task.first_at == 5.0
    assert isinstance(conclusion.outcome, Retry)
    assert 32 < conclusion.outcome.after <= 40


def test_a_returned_verdict_is_not_retried_at_once() -> None:
    bench = Bench(RetryPolicy(retry_times=5), results=[Retry(after=30)])
    assert bench.conclude(TASK, decoded).outcome == Retry(after=30)
    bench = Bench(RetryPolicy(retry_times=5), results=[Dead("banned")])
    conclusion = bench.conclude(TASK, decoded)
    assert conclusion.outcome == Dead("banned")
    assert conclusion.failure is not None
    assert conclusion.failure.error == "the handler gave up: banned"


@pytest.mark.parametrize("verdict", [Retry(after=30), Dead("banned")])
def test_a_raised_verdict_counts_as_a_returned_one_does(verdict: Retry | Dead) -> None:
    raised = Bench(RetryPolicy(retry_times=5), [verdict], raises_verdicts=True).conclude(TASK, decoded)
    returned = Bench(RetryPolicy(retry_times=5), [verdict]).conclude(TASK, decoded)
    assert raised.failure is not None
    assert "in handle" in raised.failure.traceback
    assert raised._replace(failure=returned.failure) == returned
    assert returned.failure is not None
    assert raised.failure.error == returned.failure.error


def test_a_verdict_that_is_raised_for_an_error_keeps_that_error() -> None:
    verdict = Dead("banned, hunter2")
    verdict.__cause__ = KeyError("hunter2")
    conclusion = Bench(RetryPolicy(), [verdict], raises_verdicts=True).conclude(TASK, decoded)
    assert conclusion.outcome == Dead("banned, hunter2")
    assert conclusion.failure is not None
    assert conclusion.failure.error == "the handler gave up: banned, *** (KeyError: '***')"


BY_ERROR = ByError(retry_on=(OSError, IndexError), dead_on=(FileNotFoundError, LookupError))


@pytest.mark.parametrize(
    ("error", "attempts"), [(OSError(), 3), (FileNotFoundError(), 1), (IndexError(), 3), (KeyError(), 1), (Odd(), 1)]
)
def test_an_error_of_dead_on_or_none_of_retry_on_is_the_last_one(error: Exception, attempts: int) -> None:
    bench = Bench(RetryPolicy(retry_times=2, by_error=BY_ERROR), results=[error] * 3)
    conclusion = bench.conclude(TASK, decoded)
    assert isinstance(conclusion.outcome, Dead)
    assert conclusion.task.attempts == attempts


def test_a_connection_that_retry_on_leaves_out_kills_no_task_unless_another_one_got_through() -> None:
    left_out = RetryPolicy(by_error=ByError(retry_on=(ValueError,)))
    assert isinstance(Bench(left_out, [ConnectionRefusedError(111, "")]).conclude(TASK, decoded).outcome, Retry)
    named = RetryPolicy(by_error=ByError(dead_on=(ConnectionError,)))
    assert isinstance(Bench(named, [ConnectionRefusedError(111, "")]).conclude(TASK, decoded).outcome, Dead)


def test_a_task_whose_retries_take_too_long_expires() -> None:
    bench = Bench(RetryPolicy(back_off_s=10, expire_s=5), results=[ValueError()])
    assert isinstance(bench.conclude(TASK, decoded).outcome, Expired)


def test_a_stop_between_two_attempts_leaves_the_task_unfinished() -> None:
    bench = Bench(
        RetryPolicy(retry_times=5, basic_interval_s=1), [ValueError(), ValueError(), 1], is_stopped_by_a_wait=True
    )
    conclusion = bench.conclude(TASK, decoded)
    assert (conclusion.outcome, conclusion.task.attempts) == (Unfinished.BETWEEN_ATTEMPTS, 2)
    assert len(bench.calls) == 2


def test_an_interrupt_in_a_pause_lets_the_loop_look_up_and_the_pause_goes_on_where_it_was() -> None:
    bench = Bench(RetryPolicy(retry_times=2, basic_interval_s=60.0), results=[ValueError(), ValueError(), 1])
    bench.attempts.begin(Attempt(TASK, lambda is_again: decoded()))
    bench.interrupts.set(Interrupt.SETTLE_DUE)
    assert bench.attempts.go_on() is None
    assert (len(bench.calls), bench.waits) == (1, [])
    bench.interrupts.take()
    conclusion = bench.attempts.go_on()
    assert conclusion is not None
    assert (conclusion.outcome, sum(bench.waits)) == (DONE, 60.0)


def failing_decoder(error: BaseException) -> Callable[[], object]:
    def decode() -> object:
        raise error

    return decode


def test_a_payload_that_cannot_be_decoded_is_dead_at_once_and_never_handled() -> None:
    bench = Bench(RetryPolicy(retry_times=5, back_off_s=10), results=[])
    conclusion = bench.conclude(TASK, failing_decoder(UndecodableError("not JSON")))
    assert isinstance(conclusion.outcome, Dead)
    assert bench.calls == []
    assert conclusion.task.attempts == 0


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_validator_raises_is_the_payloads_and_ends_no_worker(error: BaseException) -> None:
    conclusion = Bench(RetryPolicy(), results=[]).conclude(TASK, failing_decoder(error))
    assert conclusion.outcome == Dead("undecodable")


def test_a_failure_on_a_record_that_is_no_object_says_so() -> None:
    bench = Bench(RetryPolicy(), results=[TypeError("list indices must be integers")])
    conclusion = bench.conclude(TASK, lambda: [1, 2])
    assert conclusion.failure is not None
    assert conclusion.failure.error.endswith("(the record is a list, not an object)")


def test_errors_carry_no_secrets() -> None:
    bench = Bench(RetryPolicy(), results=[ValueError("mysql://root:hunter2@db")])
    conclusion = bench.conclude(TASK, decoded)
    assert conclusion.failure is not None
    assert "hunter2" not in conclusion.failure.error + conclusion.failure.traceback
    assert "hunter2" not in str(bench.facts)


def test_the_running_task_is_known_while_the_handler_runs_and_forgotten_after() -> None:
    bench = Bench(RetryPolicy(), results=[])
    seen: list[object] = []

    def look(*, offset: int, record: object) -> None:
        del offset, record
        seen.append(bench.attempts.task)

    bench.maker._handle = look
    bench.conclude(TASK, decoded)
    assert [task.id for task in seen if isinstance(task, Task)] == [TASK.id]
    assert bench.attempts.task is None


def test_tasks_that_fail_together_do_not_come_back_together() -> None:
    bench = Bench(RetryPolicy(back_off_s=60), results=[ValueError()] * 20)
    outcomes = [bench.conclude(TASK, decoded).outcome for _ in range(20)]
    assert len(set(outcomes)) > 1


def test_a_record_that_is_refused_before_a_retry_leaves_the_handlers_error_in_front() -> None:
    records = iter([RECORD])

    def decode() -> object:
        for record in records:
            return record
        raise LookupError("the validator's table is gone")

    bench = Bench(RetryPolicy(retry_times=1), results=[ValueError("first")])
    conclusion = bench.conclude(TASK, decode)
    assert isinstance(conclusion.outcome, Dead)
    assert conclusion.failure is not None
    refused = "before the next attempt its record was refused: LookupError: the validator's table is gone"
    assert conclusion.failure.error == f"ValueError: first ({refused})"
    assert conclusion.task.attempts == 2
