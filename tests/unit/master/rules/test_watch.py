"""When a worker counts as stuck: by what is seen of its board and its process, look after look."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumerd.master.rules.observed import Condemned
from consumerd.master.rules.watch import (
    NO_TURN_S,
    SCAN_BUSY_S,
    SCAN_IDLE_S,
    STALLED_AFTER_S,
    Observation,
    Stuck,
    Why,
    judged,
    scan_every_s,
    seen,
)
from consumerd.wire.board import (
    ASKED,
    ATTEMPT_SINCE_NS,
    BUSY_SINCE_NS,
    CURSOR,
    FAILED,
    FLAGS,
    HANDLED,
    LANE_WORDS,
    LANES,
    LANES_AT,
    MAGIC,
    MAGIC_WORD,
    SHARD,
    STATE,
    TURNED_NS,
    UNSETTLED,
    WORDS,
    BoardFlag,
    Lane,
    WorkerState,
)

TIMEOUT_S = 300.0


def board(words: list[int], changes: dict[int, int]) -> list[int]:
    """The words of a board with other values at some places."""
    return [changes.get(place, word) for place, word in enumerate(words)]


IDLE = board([0] * WORDS, {MAGIC_WORD: MAGIC, STATE: WorkerState.RUNNING, TURNED_NS: 1})
IDLE_LATER = board(IDLE, {TURNED_NS: 2})
BUSY = board(IDLE, {LANES_AT + BUSY_SINCE_NS: 1, LANES_AT + SHARD: 3, LANES_AT + CURSOR: 7})
LANE = Lane(busy_since_ns=1, shard=3, cursor=7)


def looked(*boards: list[int], every_s: float = 1.0, is_stopped: bool = False) -> Observation:
    """After a look each second, the first at 0."""
    observation: Observation | None = None
    for number, words in enumerate(boards):
        observation = seen(observation, words, number * every_s, is_stopped=is_stopped, planned_s=every_s)
    assert observation is not None
    return observation


def standing_for(seconds: int, words: list[int], *, is_stopped: bool = False) -> Observation:
    return looked(*([words] * (seconds + 1)), is_stopped=is_stopped)


def test_an_attempt_is_fine_then_stalled_then_overdue() -> None:
    assert judged(standing_for(int(STALLED_AFTER_S) - 1, BUSY), TIMEOUT_S) is None
    assert judged(standing_for(int(STALLED_AFTER_S), BUSY), TIMEOUT_S) == Stuck(Why.TASK, 0.0, False, LANE)
    assert judged(standing_for(299, BUSY), TIMEOUT_S) == Stuck(Why.TASK, 0.0, False, LANE)
    assert judged(standing_for(300, BUSY), TIMEOUT_S) == Stuck(Why.TASK, 0.0, True, LANE)


def test_a_task_timeout_below_the_time_of_the_flag_counts_first() -> None:
    assert judged(standing_for(1, BUSY), 2.0) is None
    assert judged(standing_for(2, BUSY), 2.0) == Stuck(Why.TASK, 0.0, True, LANE)


def test_whatever_the_loop_changes_is_progress() -> None:
    of_lane = (LANES_AT + CURSOR, LANES_AT + BUSY_SINCE_NS, LANES_AT + ATTEMPT_SINCE_NS)
    for place in (*of_lane, HANDLED, FAILED, ASKED):
        changed = board(BUSY, {place: BUSY[place] + 1})
        observation = seen(standing_for(100, BUSY), changed, 101.0, is_stopped=False, planned_s=1.0)
        assert judged(observation, TIMEOUT_S) is None, place


def test_a_retry_that_a_handler_asked_for_counts_among_what_is_finished() -> None:
    assert standing_for(1, board(IDLE, {HANDLED: 1, FAILED: 2, ASKED: 4})).finished == 7


def test_what_others_than_the_loop_change_is_no_progress() -> None:
    changed = board(BUSY, {FLAGS: BoardFlag.SOURCE_AWAY, UNSETTLED: 5})
    observation = seen(standing_for(100, BUSY), changed, 101.0, is_stopped=False, planned_s=1.0)
    assert judged(observation, TIMEOUT_S) is not None


def test_a_stopped_process_is_stuck_at_once_and_overdue_after_the_timeout() -> None:
    assert judged(standing_for(0, IDLE, is_stopped=True), TIMEOUT_S) == Stuck(Why.STOPPED, 0.0, False)
    assert judged(standing_for(300, BUSY, is_stopped=True), TIMEOUT_S) == Stuck(Why.STOPPED, 0.0, True, LANE)
    continued = seen(standing_for(10, IDLE, is_stopped=True), IDLE, 11.0, is_stopped=False, planned_s=1.0)
    assert judged(continued, TIMEOUT_S) is None


def test_a_loop_without_a_turn_outside_the_handler_is_stuck() -> None:
    assert judged(standing_for(int(NO_TURN_S) - 1, IDLE), TIMEOUT_S) is None
    assert judged(standing_for(int(NO_TURN_S), IDLE), TIMEOUT_S) == Stuck(Why.LOOP, 0.0, False)
    assert judged(standing_for(int(NO_TURN_S), IDLE), 1.0) == Stuck(Why.LOOP, 0.0, True)
    turning = [board(IDLE, {TURNED_NS: number}) for number in range(100)]
    assert judged(looked(*turning), TIMEOUT_S) is None


def test_a_users_own_generator_may_wait_for_its_next_task() -> None:
    assert judged(standing_for(1000, IDLE), TIMEOUT_S, is_waiting_free=True) is None


def test_a_worker_that_drains_has_its_own_deadline() -> None:
    assert judged(standing_for(1000, board(BUSY, {STATE: WorkerState.DRAINING})), TIMEOUT_S) is None


def test_time_in_which_the_master_could_not_look_counts_against_no_one() -> None:
    frozen = seen(standing_for(5, BUSY), BUSY, 1000.0, is_stopped=False, planned_s=1.0)
    assert judged(frozen, TIMEOUT_S) is None
    assert frozen.seen_at - frozen.standing.since_s == 6.0


def test_a_busy_pool_or_one_that_stands_still_is_looked_at_more_often() -> None:
    assert scan_every_s([standing_for(0, IDLE)]) == SCAN_IDLE_S
    assert scan_every_s([standing_for(0, IDLE), standing_for(0, BUSY)]) == SCAN_BUSY_S
    assert scan_every_s([standing_for(1, IDLE)]) == SCAN_BUSY_S
    assert scan_every_s([]) == SCAN_IDLE_S


@given(st.lists(st.tuples(st.floats(0.1, 400.0), st.booleans()), min_size=1, max_size=30))
def test_nobody_is_overdue_who_went_on_within_the_timeout(looks: list[tuple[float, bool]]) -> None:
    """However the looks come: what is dated begins with a look at which the board stood as it does now."""
    now, changed_at, cursor = 0.0, 0.0, 0
    observation = seen(None, BUSY, now, is_stopped=False, planned_s=1.0)
    for pause_s, goes_on in looks:
        now += pause_s
        cursor += goes_on
        changed_at = now if goes_on else changed_at
        observation = seen(observation, board(BUSY, {LANES_AT + CURSOR: cursor}), now, is_stopped=False, planned_s=1.0)
        stuck = judged(observation, TIMEOUT_S)
        assert stuck is None or stuck.since_s >= changed_at
        assert stuck is None or not stuck.is_overdue or now - changed_at >= TIMEOUT_S


@given(st.lists(st.sampled_from([IDLE, IDLE_LATER, BUSY]), min_size=1, max_size=4), st.booleans())
def test_of_what_idles_there_is_nothing_to_judge(boards: list[list[int]], is_stopped: bool) -> None:
    observation = looked(*boards, every_s=SCAN_IDLE_S, is_stopped=is_stopped)
    assert not observation.is_idling or judged(observation, 0.0) is None
    assert looked(IDLE, IDLE_LATER).is_idling


# Several at once


def of_lanes(turned_s: float, *begun_s: float | None) -> list[int]:
    """The board of a worker whose loop turned then, and whose lanes began then what they run; None: nothing runs."""
    words = board(IDLE[:LANES_AT], {LANES: len(begun_s), TURNED_NS: int(turned_s * 1e9)})
    for number, begun in enumerate(begun_s):
        since_ns = 0 if begun is None else int(begun * 1e9)
        words += [since_ns, since_ns, 3, 100 * number + int(begun or 0), *([0] * (LANE_WORDS - 4))]
    return words


def watched(*boards: list[int], from_s: float = 2.0) -> Observation:
    """After a look each second."""
    observation: Observation | None = None
    for second, words in enumerate(boards):
        observation = seen(observation, words, from_s + second, is_stopped=False, planned_s=1.0)
    assert observation is not None
    return observation


def lane_at(number: int, begun_s: int) -> Lane:
    return Lane(begun_s * 10**9, begun_s * 10**9, 3, 100 * number + begun_s, number=number)


def test_a_lane_that_hangs_is_found_while_the_others_go_on() -> None:
    """The first hangs from 1 on, the other takes a task a second."""
    looks = [of_lanes(second, 1.0, float(second)) for second in range(2, 400)]
    assert judged(watched(*looks[:14]), TIMEOUT_S) is None
    flagged = judged(watched(*looks[:15]), TIMEOUT_S)
    assert flagged is not None
    assert flagged.told(16.0) == "has been on offset 1 of shard 3 for 15 s"
    replaced = judged(watched(*looks[:300]), TIMEOUT_S)
    assert replaced == Stuck(Why.TASK, 1.0, True, lane_at(0, 1))


def test_where_a_loop_that_runs_several_does_not_turn_nobody_is_named() -> None:
    blocked = judged(watched(*[of_lanes(1.0, 1.0, 2.0)] * 300), TIMEOUT_S)
    assert blocked == Stuck(Why.TASK, 1.0, True, None)
    alone = judged(watched(*[of_lanes(1.0, 1.0, None)] * 300), TIMEOUT_S)
    assert alone == Stuck(Why.TASK, 1.0, True, lane_at(0, 1))


def test_of_a_stopped_process_that_runs_several_nobody_is_named() -> None:
    stopped = judged(looked(*[of_lanes(1.0, 1.0, 2.0)] * 3, is_stopped=True), 1.0)
    assert stopped == Stuck(Why.STOPPED, 0.0, True, None)


def test_a_sentence_is_for_one_lane_whatever_the_others_do() -> None:
    sentence = Condemned("stuck", 10.0, 11.0, lane_at(0, 1))
    hangs = watched(of_lanes(9.0, 1.0, 9.0), of_lanes(10.0, 1.0, 10.0), from_s=9.0)
    assert not sentence.is_let_off(hangs.standing)
    for goes_on in (of_lanes(10.5, None, 10.0), of_lanes(10.5, 10.5, 10.0), of_lanes(10.5, 9.5, 10.0)):
        assert sentence.is_let_off(seen(hangs, goes_on, 11.0, is_stopped=False, planned_s=1.0).standing)
    anybody = Condemned("stuck", 10.0, 11.0)
    assert anybody.is_let_off(seen(hangs, of_lanes(10.5, 1.0), 11.0, is_stopped=False, planned_s=1.0).standing)


BEGINS = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=40)


@given(BEGINS)
def test_each_lane_is_dated_by_itself(begins: list[list[bool]]) -> None:
    """However others go on: what is told is when the oldest that runs began."""
    begun: list[float | None] = [1.0, 1.0, 1.0]
    observation: Observation | None = None
    for second, of_second in enumerate(begins, 2):
        begun = [float(second) if begins_now else date for date, begins_now in zip(begun, of_second, strict=True)]
        words = of_lanes(float(second), *begun)
        observation = seen(observation, words, second + 0.5, is_stopped=False, planned_s=1.0)
        assert list(observation.standing.lanes) == begun
        assert observation.standing.oldest == (begun.index(min(begun)), min(begun))  # type: ignore[type-var]  # none is None
        assert observation.standing.youngest_s == max(begun)  # type: ignore[type-var]  # as above


def test_time_in_which_nobody_could_look_counts_against_no_lane() -> None:
    words = of_lanes(1.0, 1.0, 2.0)
    frozen = seen(watched(*[words] * 5), words, 1000.0, is_stopped=False, planned_s=1.0)
    assert frozen.standing.lanes == (994.0, 995.0)
