"""Why a pool or a worker is as it is now, in a few sentences. Pure: sentences over facts, as the findings are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET, Struct

from consumerd import clock, events
from consumerd.doctor.facts import Pool, starts_for_long
from consumerd.doctor.past import Act, Happened
from consumerd.doctor.suspects import suspects_told
from consumerd.wire.board import Hold
from consumerd.wire.problems import ProblemKind
from consumerd.wire.status import LimitStatus, PoolStatus, WorkerStatus

SHORT_S = 120.0
"""A time that is shorter is told as such; of a longer one, since when."""

_HOLDS: Mapping[Hold, str] = {
    Hold.PAUSED: "its pool is paused, or held back",
    Hold.SOURCE_AWAY: "its source does not answer",
    Hold.STORE_AWAY: "the parking store does not answer, and no more tasks may be unsettled",
    Hold.UNSETTLED_FULL: "as many tasks are unsettled as may be (`max_unsettled`)",
    Hold.DESTINATION_AWAY: "what tasks need does not answer; they are tried one at a time",
    Hold.ALL_FAILED: "all tasks die of one error; one is tried now and then",
}
HOLDS = {hold.name.lower(): words for hold, words in _HOLDS.items()}
"""What a board may say that keeps the next task from starting."""

TOLD_WITHIN_S = 1.0
"""A reload and its act are told so much later, at most, than what they changed."""


class Said(Struct, frozen=True):
    """A sentence, and what it is about: state, behind, held, suspect, by_hand, workers, change, end, next,
    doing, task.
    """

    about: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a pool. All of it is of one moment, `at` on the wall clock.

    limits: those that it lists. happened: its events, and the master's own; acts: what people did; both oldest first.
    next_probes_s: of open destinations, in how many seconds the next probe comes.
    """

    pool: PoolStatus
    at: float
    limits: Sequence[LimitStatus] = ()
    happened: Sequence[Happened] = ()
    acts: Sequence[Act] = ()
    next_probes_s: Mapping[str, float] | None = None

    def since(self, seconds: float) -> str:
        """`for 14 s`, or since when."""
        return f"for {seconds:.0f} s" if seconds < SHORT_S else f"since {clock.moment(self.at - seconds)}"

    def last(self, *names: str, until: float = math.inf) -> Happened | None:
        """The newest event of these names, not later than `until`."""
        return next((each for each in reversed(self.happened) if each.name in names and each.at <= until), None)

    def last_act(self, *methods: str, until: float = math.inf) -> Act | None:
        """The newest that somebody did of these, to this pool, not later than `until`."""
        mine = (act for act in reversed(self.acts) if act.concerns(self.pool.name) and act.at <= until)
        return next((act for act in mine if act.method in methods), None)


def explain_pool(known: Known) -> list[Said]:
    """Its state, what holds its tasks back, who set what by hand, its number of workers, what changed, what is next."""
    pool = known.pool
    told = [
        ("state", _state(known)),
        ("behind", _behind(pool)),
        ("held", _held(known)),
        *(("suspect", f"{sentence}.") for sentence in suspects_told(known.happened, pool.suspects)),
        *(("by_hand", sentence) for sentence in _by_hand(known)),
        ("workers", _number_of_workers(pool)),
        ("change", _change(known)),
        ("end", _last_end(pool)),
        *(("next", sentence) for sentence in _next(known)),
    ]
    return [Said(about, sentence) for about, sentence in told if sentence]


def explain_worker(known: Known, worker: WorkerStatus) -> list[Said]:
    """Its state, what it does or what keeps it from starting a task, how the last one ended."""
    pid = "" if worker.pid is None else f", process {worker.pid}"
    state = f"Worker {worker.slot} of {known.pool.name} is {worker.state} {known.since(worker.since_s)}{pid}"
    state += f", in edition {worker.edition}."
    told = [("state", state), ("doing", _doing(known, worker)), ("end", _end_of(worker))]
    if worker.refused:
        told.append(("held", f"The system refuses it a process: {worker.refused}."))
    if worker.is_worn:
        told.append(("next", "It has done its part, and is replaced when `max_unavailable` allows."))
    if worker.starts_in_s is not None:
        told.append(("next", f"It starts again in {worker.starts_in_s:.0f} s."))
    return [Said(about, sentence) for about, sentence in told if sentence]


def what_holds(known: Known) -> str:
    """The first reason for which tasks of the pool do not start; empty where there is none."""
    return next(_reasons(known), "")


# A pool


def _state(known: Known) -> str:
    pool = known.pool
    held = ", paused" if pool.is_paused else ", held back" if pool.throttled else ""
    state = "has failed" if pool.state == "failed" else f"is {pool.state}{held}"
    verb = "makes" if pool.workers_stalled == 1 else "make"
    stalled = f", {pool.workers_stalled} {verb} no progress" if pool.workers_stalled else ""
    workers = f"{pool.workers_running} of {pool.workers_wanted} wanted workers in their loop{stalled}"
    return f"{pool.name} {state}, {known.since(pool.since_s)}, with {workers}."


def _behind(pool: PoolStatus) -> str:
    running, _ = Pool(pool, pool, 1.0).lanes
    in_hand = f"{max(pool.unsettled, running)} are in the hands of its workers"
    if pool.lag_age_s is None or not pool.lag:
        asked = pool.source == "query" and pool.lag_age_s is not None
        why = ", since its class has no waiting() that counts them" if asked else ""
        return f"How many tasks wait is not known{why}; {in_hand}."
    oldest = f", the oldest for {pool.lag_s:.0f} s" if pool.lag_s else ""
    later = f"; {pool.later} more have a time that has not come" if pool.later else ""
    tasks = "1 task waits" if pool.lag_tasks == 1 else f"{pool.lag_tasks} tasks wait"
    return f"{tasks}{oldest}, as of {pool.lag_age_s:.0f} s ago; {in_hand}{later}."


def _held(known: Known) -> str:
    reason = what_holds(known)
    if reason:
        return f"Its tasks are held back: {reason}."
    seen = Pool(known.pool, known.pool, 1.0)
    running, lanes = seen.lanes
    if known.pool.workers_wanted and not (known.pool.workers_running or known.pool.workers_finished):
        return "None of its workers is in its loop, so that none of its tasks is done."
    if lanes and running >= lanes:
        return f"Nothing holds its tasks back but its workers: each of their places ({lanes}) is taken."
    return "Nothing holds its tasks back."


def _reasons(known: Known) -> Iterator[str]:
    """In the order in which a gate asks."""
    pool = known.pool
    if pool.state == "failed":
        yield f"its code does not run: {_line(pool.reason)}"
    if pool.is_paused:
        yield f"{pool.paused.by} has paused it" if pool.paused else "it is paused"
    if pool.throttled:
        yield f"its throttle says so, {pool.throttled}"
    for flag in sorted(pool.flags, key=lambda flag: flag.since):
        yield f"{_FLAGS.get(flag.away, flag.away)} since {clock.moment(flag.since)}{_because(flag.error)}"
    yield from (
        problem.sentence.removeprefix(f"{pool.name}: ")
        for problem in pool.wrong
        if problem.kind in (ProblemKind.DESTINATION_OPEN, ProblemKind.DESTINATION_HELD, ProblemKind.SHARD_STALLED)
    )
    for worker in filter(starts_for_long, pool.workers):
        see = f"consumerd stacks {pool.name}#{worker.slot} shows what its pre_consume waits for"
        yield f"worker {worker.slot} has not come to its loop {known.since(worker.since_s)}: {see}"
    for limit in known.limits:
        if limit.waiting and (limit.key is not None or not limit.by):
            yield f"{limit.waiting} of them wait for the limit {_limit(limit)}"
    for worker in pool.workers:
        if worker.hold is not UNSET and worker.hold in HOLDS:
            yield f"of worker {worker.slot}, {HOLDS[worker.hold]}"


_FLAGS = {
    "source": "its source has not answered",
    "store": "the parking store has not answered",
    "destination": "what they need has not answered",
    "failing": "all of them die of one error",
    "settling": "rows that were handled cannot be settled",
    "starved": "its query returns only rows that cannot be handled now",
    "standby": "another host has this consumer",
}


def _by_hand(known: Known) -> Iterator[str]:
    pool = known.pool
    if pool.paused is not None:
        yield f"{pool.paused.by} paused it at {clock.moment(pool.paused.at)}: consumerd resume {pool.name} ends that."
    if pool.workers_pinned is not None:
        act = known.last_act("scale")
        who = "" if act is None else f" by {act.by} at {clock.moment(act.at)}"
        number = f"Its number of workers was set to {pool.workers_pinned}{who}"
        yield f"{number}: consumerd scale {pool.name} auto ends that."
    held = [problem.about for problem in pool.wrong if problem.kind is ProblemKind.DESTINATION_HELD]
    for name in held:
        act = known.last_act("destinations-open")
        is_it = act is not None and act.params.get("destination") == name
        who = f"{act.by} at {clock.moment(act.at)}" if act is not None and is_it else "Somebody"
        yield f"{who} opened its destination {name}: consumerd destinations close {name} ends that."


def _number_of_workers(pool: PoolStatus) -> str:
    if pool.scaling is not None:
        bounds = f"It may have {pool.scaling.min} to {pool.scaling.max} workers, so that no task waits for more than"
        return f"{bounds} {pool.scaling.target_seconds:g} s: {pool.scaling.reason}."
    if pool.workers_helping is not None and pool.workers_helping < pool.workers_wanted:
        return f"Its source has {pool.workers_helping} shards: more workers than that have nothing to do."
    return ""


def _change(known: Known) -> str:
    pool = known.pool
    if not pool.established:
        return ""
    if pool.edition > max(pool.established, pool.rejected):
        return f"Its edition {pool.edition} is on trial; before, edition {pool.established} ran."
    if pool.rejected > pool.established:
        return f"Its last change, edition {pool.rejected}, was taken back: {_line(pool.reason)}."
    established, amended = events.edition_established.name, events.configs_amended.name
    last = known.last(established, amended)
    if last is None:
        return "" if pool.edition > 1 else "Its code and its configuration are as they were when the master started."
    until = last.at + TOLD_WITHIN_S
    asked = known.last_act("restart", "reload", until=until)
    what = f"edition {pool.edition} proved itself" if last.name == established else "new values were taken over"
    who = f", after {asked.by} had asked for a {asked.method}" if asked is not None else ""
    return f"Its last change was at {clock.moment(last.at)}: {what}{who}{_differences(known, until)}."


def _differences(known: Known, until: float) -> str:
    """What the last reload until then said of this pool."""
    reload = known.last(events.configuration_reloaded.name, until=until)
    changes = [] if reload is None else [str(change) for change in reload.fields.get("changes", ())]
    name = f"{known.pool.name} "
    mine = [change.removeprefix(name) for change in changes if change.startswith(name)]
    return f" ({'; '.join(mine)})" if mine else ""


def _last_end(pool: PoolStatus) -> str:
    ended = [worker for worker in pool.workers if worker.last_end is not None]
    last = max(ended, key=lambda worker: worker.last_end.at if worker.last_end else 0.0, default=None)
    restarts = "there was 1 restart" if pool.restarts == 1 else f"there were {pool.restarts} restarts"
    return "" if last is None else f"{_end_of(last)[:-1]}; {restarts} since the master started."


def _next(known: Known) -> Iterator[str]:
    pool = known.pool
    starts = [worker for worker in pool.workers if worker.starts_in_s is not None]
    if starts:
        first = min(starts, key=lambda worker: worker.starts_in_s or 0.0)
        yield f"Worker {first.slot} starts again in {first.starts_in_s:.0f} s."
    if pool.schedule is not None and pool.schedule.next:
        yield f"Its next run is due at {clock.iso(pool.schedule.next[0])}."
    for name, in_s in sorted((known.next_probes_s or {}).items()):
        yield f"Its destination {name} is probed in {in_s:.0f} s."
    if pool.parked_now is not None and pool.parked_now.waiting:
        yield f"{pool.parked_now.waiting} of its tasks are parked until their next attempt is due."
    if pool.parked_now is not None and pool.parked_now.dead:
        yield f"{pool.parked_now.dead} of its tasks are dead, and wait for a person: consumerd parked list {pool.name}."


# A worker


def _doing(known: Known, worker: WorkerStatus) -> str:
    if worker.stuck:
        return f"It {worker.stuck}."
    if worker.running is UNSET or worker.at_once is UNSET:
        return ""
    if worker.running:
        longest = "" if worker.busy_s in (UNSET, None) else f", the longest {known.since(float(worker.busy_s or 0.0))}"
        return f"It runs {worker.running} of {worker.at_once} tasks that it may run at once{longest}."
    hold = HOLDS.get(worker.hold) if worker.hold is not UNSET else None
    reason = hold or what_holds(known)
    return f"It runs no task: {reason}." if reason else "It runs no task, and nothing keeps it from starting one."


def _end_of(worker: WorkerStatus) -> str:
    last = worker.last_end
    if last is None:
        return ""
    unasked = f"Worker {worker.slot} ended at {clock.moment(last.at)} though nobody had asked it to"
    return f"{unasked}: {last.how}."


def _limit(limit: LimitStatus) -> str:
    name = limit.limit if limit.key is None else f"{limit.limit} of {limit.key}"
    return name if limit.first_waits_s is None else f"{name}, the first for {limit.first_waits_s:.0f} s"


def _line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(".") or "no reason is known"


def _because(error: str) -> str:
    return f": {_line(error)}" if error else ""
