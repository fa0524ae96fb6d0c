"""Why a pool is not healthy, each a sentence with its kind: what `consumerd status` says below its table.

Runs in the master.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from consumerd import clock
from consumerd.master.pools.pool import Pool
from consumerd.master.rules.observed import ObservedPool
from consumerd.master.rules.restart import is_proven
from consumerd.model.limits import SECOND_NS
from consumerd.model.slots import PoolState, SlotState, ZygoteState
from consumerd.wire.board import BoardFlag
from consumerd.wire.destination_rows import Seen, seen
from consumerd.wire.destinations import Destination, State
from consumerd.wire.problems import PoolProblem, ProblemKind
from consumerd.wire.status import Flag

LONG_IMPORT_S = 30.0
"""An import that has taken so long may never end."""

SLOW_START_S = 15.0
"""A worker that has been starting for so long is worth a word."""

DEATHS_THAT_TELL = 2
"""So many unproven deaths in a row of a slot, or a refusal of its source, tell of the next as well."""


OF_FLAGS = {
    "source": ProblemKind.SOURCE_AWAY,
    "store": ProblemKind.STORE_AWAY,
    "destination": ProblemKind.NEEDS_AWAY,
    "failing": ProblemKind.ALL_FAIL,
    "starved": ProblemKind.STARVED,
    "settling": ProblemKind.UNSETTLED,
}


def problems_of(pool: Pool, flags: Sequence[Flag], up: int, now: float) -> list[PoolProblem]:
    """Every problem of a pool, the gravest first; one that explains the others stands alone.

    flags: what is away. up: how many of its workers run or have finished.
    """
    name, observed = pool.consumer, pool.observed
    if observed.state is PoolState.FAILED:
        again = f"{_tried_again(observed, now)}, or by consumerd restart {name}"
        return [PoolProblem(ProblemKind.FAILED, f"{name} has failed; {again}: {_first_line(observed.reason)}")]
    found = [_named(name, problem) for problem in _of_the_start(pool, now)]
    if observed.state is not PoolState.UP:
        not_up = f"{name} is {observed.state.value}, for {now - observed.since:.0f} s"
        return found[:1] or [PoolProblem(ProblemKind.NOT_UP, not_up)]
    return [*found, *(_named(name, problem) for problem in (*_of_tasks(pool, flags), *_of_workers(pool, up, now)))]


def _tried_again(failed: ObservedPool, now: float) -> str:
    is_on = any(slot.state is SlotState.STARTING for slot in failed.slots.values())
    is_on |= any(zygote.state is ZygoteState.LOADING for zygote in failed.zygotes.values())
    return "it is tried again now" if is_on else f"it is tried again in {max(0.0, failed.try_at - now):.0f} s"


def _named(name: str, problem: PoolProblem) -> PoolProblem:
    return PoolProblem(problem.kind, f"{name}: {problem.sentence}", problem.about)


def _of_the_start(pool: Pool, now: float) -> Iterator[PoolProblem]:
    """An import that does not end, which nothing kills; what the system refuses, the first of it."""
    observed, zygote = pool.observed, pool.observed.zygote(pool.target_edition)
    import_s = now - zygote.since
    if zygote.state is ZygoteState.LOADING and import_s >= LONG_IMPORT_S:
        hangs = f"the import of its module has not ended for {import_s:.0f} s, and no worker of it can start"
        advice = f"find out what process {zygote.pid} waits for"
        yield PoolProblem(ProblemKind.IMPORT_HANGS, f"{hangs}: {advice}")
    refused = [f"no process can be executed: {each.refused}" for each in observed.zygotes.values() if each.refused]
    slots = [(number, slot.refused) for number, slot in sorted(observed.slots.items()) if slot.refused]
    refused += [f"worker {number} cannot be started: {why}" for number, why in slots]
    yield from (PoolProblem(ProblemKind.PROCESS_REFUSED, each) for each in refused[:1])


def _of_tasks(pool: Pool, flags: Sequence[Flag]) -> Iterator[PoolProblem]:
    """What keeps tasks from being done: something away, a store that refuses one, a change that was taken back."""
    observed, readings = pool.observed, [worker.reading() for worker in pool.workers.values()]
    yield from (
        PoolProblem(OF_FLAGS[flag.away], absence(flag, pool.consumer)) for flag in flags if flag.away != "standby"
    )
    if any(reading is not None and BoardFlag.UNSTORABLE in reading.flags for reading in readings):
        sentence = "a task cannot be parked, and stays unfinished: see consumerd events"
        yield PoolProblem(ProblemKind.TASK_UNSTORABLE, sentence)
    if observed.rejected > observed.established and observed.reason:
        sentence = f"its last change did not hold up and was taken back: {_first_line(observed.reason)}"
        yield PoolProblem(ProblemKind.CHANGE_TAKEN_BACK, sentence)
    for each in seen(pool.tools.holders.table, pool.consumer):
        if each.state.state.is_away:
            yield _away_destination(pool, each, clock.monotonic())
    before, lag = pool.lag_at_pause, pool.lag
    if pool.is_paused and before is not None and lag is not None and lag.tasks > before:
        wait = "1 task waits" if lag.tasks == 1 else f"{lag.tasks} tasks wait"
        sentence = f"it is paused, and {wait}, {before} when it was: consumerd resume {pool.consumer}"
        yield PoolProblem(ProblemKind.PAUSED_AND_BEHIND, sentence)
    if pool.is_throttle_at_fault:
        sentence = f"its throttle holds it back, since {pool.throttled}: mend the file, or remove it"
        yield PoolProblem(ProblemKind.THROTTLE_AT_FAULT, sentence)


def _of_workers(pool: Pool, up: int, now: float) -> Iterator[PoolProblem]:
    """Workers that die, wait, fail or hang; shards of which nothing comes; too few workers."""
    yield from islice(_unproven(pool, now), 1)
    if failures := pool.tally.failures_in_a_row(pool.workers.values()):
        yield PoolProblem(
            ProblemKind.FAILURES_IN_A_ROW, f"its last {failures} new tasks have all failed: {_where(pool)}"
        )
    yield from _stalled(pool, now)
    if pool.stalled_shards:
        shards = ", ".join(map(str, sorted(pool.stalled_shards)))
        sentence = f"tasks wait, and none comes to any worker, in shard {shards}"
        yield PoolProblem(ProblemKind.SHARD_STALLED, sentence)
    complaints = pool.lag.complaints if pool.lag else ()
    yield from (PoolProblem(ProblemKind.ROWS_UNCLAIMABLE, complaint) for complaint in complaints)
    if up < pool.wanted.workers:
        sentence = f"{up} of {pool.wanted.workers} workers are up{_slow_start(pool, now)}"
        yield PoolProblem(ProblemKind.TOO_FEW_UP, sentence)


def _where(pool: Pool) -> str:
    """Where people find the tasks that have failed."""
    if pool.traits.get("durable_defer"):
        return "see consumerd events; what is to be tried again waits in its row, what is dead in consumerd parked list"
    return "see consumerd parked list"


def _unproven(pool: Pool, now: float) -> Iterator[PoolProblem]:
    """Workers that run and have shown nothing: those before them have not either, or their source is silent."""
    for number, slot in sorted(pool.observed.slots.items()):
        worker, last = pool.workers.get(number), pool.last_ends.get(number)
        if slot.state is not SlotState.RUNNING or worker is None or worker.ready_at is None:
            continue
        loop_s, reading = worker.loop_s(now), worker.reading()
        if is_proven(loop_s, reading):
            continue
        if slot.failures >= DEATHS_THAT_TELL and last is not None:
            sentence = f"worker {number} dies before it can do anything, the last time {last.how}"
            yield PoolProblem(ProblemKind.DIES_UNPROVEN, sentence)
        elif loop_s >= SLOW_START_S and (reading is None or not reading.has_answered):
            sentence = f"the source has not answered worker {number} for {loop_s:.0f} s"
            yield PoolProblem(ProblemKind.SOURCE_SILENT, sentence)


def _stalled(pool: Pool, now: float) -> Iterator[PoolProblem]:
    """Workers that make no progress: the first, and how many there are."""
    slots = pool.observed.slots
    stuck = [
        (number, worker.stuck)
        for number, worker in sorted(pool.workers.items())
        if worker.stuck is not None and slots[number].state is SlotState.STALLED
    ]
    if stuck:
        (number, why), others = stuck[0], f"{len(stuck)} workers are stalled; " if len(stuck) > 1 else ""
        yield PoolProblem(ProblemKind.WORKER_STALLED, f"{others}worker {number} {why.told(now)}")


def _slow_start(pool: Pool, now: float) -> str:
    """What to look at, where a worker does not come to its loop."""
    slots = pool.observed.slots.items()
    since, number = min(
        ((slot.since, number) for number, slot in slots if slot.state is SlotState.STARTING), default=(now, None)
    )
    if now - since < SLOW_START_S:
        return ""
    see = f"consumerd stacks {pool.consumer}#{number} shows what its pre_consume waits for"
    return f"; worker {number} has been starting for {now - since:.0f} s: {see}"


def absence(flag: Flag, consumer: str) -> str:
    """What is away, since when, with the reason that was told first."""
    since, why = f"since {clock.moment(flag.since)}", f": {flag.error}" if flag.error else ""
    if flag.away == "starved":
        return f"it has handled nothing {since}, for {flag.error}"
    if flag.away == "settling":
        return f"rows that were handled cannot be settled {since}, and are handled again once their worker ends{why}"
    if flag.away == "destination":
        return f"what its tasks need has not answered {since}, so it tries one at a time, and gives none up{why}"
    if flag.away == "failing":
        what = "all its tasks die of one error, so it tries one now and then, and gives none up"
        return f"{since}, {what}{why}; mend it, then consumerd restart {consumer}, or resume"
    return f"its {flag.away} has been away {since}{why}"


def for_how_long(destination: Destination, now: float) -> str:
    """How long a destination that is away has been so; where it had begun to return, how long it is not closed, too."""
    here_s, away_s = now - destination.changed_ns / SECOND_NS, now - destination.since_ns / SECOND_NS
    is_again = destination.since_ns < destination.changed_ns and destination.state is State.OPEN
    return f"for {here_s:.0f} s" + (f" again, and not closed for {away_s:.0f} s" if is_again else "")


def _away_destination(pool: Pool, each: Seen, now: float) -> PoolProblem:
    waits = (
        f"{each.waiting} of its tasks {'waits' if each.waiting == 1 else 'wait'} in hand"
        if each.waiting
        else "none of its tasks is in hand"
    )
    if each.state.state is State.HELD:
        held = f"is held open {for_how_long(each.state, now)}, {waits}"
        told = f"its destination {each.name} {held}: consumerd destinations close {each.name}"
        return PoolProblem(ProblemKind.DESTINATION_HELD, told, each.name)
    failures, attempts, keys = each.state.failures, each.state.attempts, pool.entry.settings.common.breaker
    of_window = f"{failures} of {attempts} attempts within {keys.window:g} s had failed, and {keys.share:.0%} open it"
    failed = f"after {of_window if failures < attempts else f'its last {attempts} attempts had all failed'}"
    if not attempts:
        failed = f"since {_first_line(str(pool.opened_by.get(each.name, 'it asked to be left alone')))}"
    elif error := pool.opened_by.get(each.name):
        failed += f", the last with {_first_line(str(error))}"
    is_open = f"has been open {for_how_long(each.state, now)}"
    told = f"its destination {each.name} {is_open}, {failed}; {waits}: see consumerd destinations"
    return PoolProblem(ProblemKind.DESTINATION_OPEN, told, each.name)


def _first_line(reason: str) -> str:
    return reason.splitlines()[0] if reason else "no reason is known"
