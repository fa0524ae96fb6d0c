"""`consumerd status`: what is running, once. Imports nothing heavy: it answers within 150 ms.

`--json` shows the master's answer as it came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import click
from msgspec import UNSET

from consumerd import clock
from consumerd.cli.lines import named_table, note, printable, table, terminal_width
from consumerd.cli.options import json_option, state_dir_option
from consumerd.config.amounts import duration
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.control import call
from consumerd.wire.method import Method, parameter
from consumerd.wire.schedules import ScheduleStatus
from consumerd.wire.status import EndedTasks, LastError, PoolStatus, Status, WorkerStatus, status_of

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls

POOL_HEADINGS = ("POOL", "STATE", "WORKERS", "HANDLED", "FAILED", "PARKED", "UNSETTLED", "RESTARTS", "LAG")
WORKER_HEADINGS = ("WORKER", "PID", "GENERATION", "STATE", "FOR", "HANDLED", "DOING")
TASK_HEADINGS = ("TASK", "FOR", "ID")
RECENT_HEADINGS = ("WORKER", "AGO", "TASKS", "OUTCOME", "EACH", "LAST")
LONGEST_NOTE = 1_000
OLD_ERROR_S = 60.0
"""The last error is shown with its age once it is older."""
KNOWN_S = 1.0
"""How long a task runs is known by looks a second apart, and not shown below that."""
OLD_LAG_S = 30.0
"""The lag is measured every ten seconds; an older one is shown with its age."""


class ShowStatus(Method, frozen=True):
    """All that runs, and what is wrong with it."""

    name, result = "status", Status
    tasks: Annotated[bool, parameter("List each task that a worker runs.")] = False

    recent: Annotated[bool, parameter("Show what each worker has ended last.")] = False
    target: Annotated[str | None, parameter("Only pools of a group, or group/name.")] = None
    workers_of: Annotated[
        str | None, parameter("List the workers of this pool alone, by its full name; of none, where it is empty.")
    ] = None

    async def answer(self, master: Controls, by: str) -> Status:
        targets = filter(None, [self.target])
        return master.status(*targets, tasks=self.tasks, recent=self.recent, workers_of=self.workers_of)


@click.command()
@state_dir_option
@json_option
@click.option("--workers", "-v", "with_workers", is_flag=True, help="Show each worker, and what it does now.")
@click.option("--tasks", "lists_tasks", is_flag=True, help="Show each worker, and each task that it runs now.")
@click.option("--recent", "shows_recent", is_flag=True, help="Show each worker, and what it has ended last.")
@click.option("--check", "is_check", is_flag=True, help="Exit 1 unless everything is healthy.")
def command(
    state_dir: StateDirectory, as_json: bool, with_workers: bool, lists_tasks: bool, shows_recent: bool, is_check: bool
) -> int:
    """Show what is running: pools, what they have done, what is wrong.

    HANDLED, FAILED and RESTARTS count since the master started. PARKED, UNSETTLED and LAG are of this moment; the last
    and PARKED are taken every ten seconds. UNSETTLED are tasks that workers have taken: handled and not yet settled,
    running, or waiting in hand.
    """
    answer = call(state_dir.control_socket, "status", ShowStatus(tasks=lists_tasks, recent=shows_recent).parameters())
    status = status_of(answer)
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        with_workers = with_workers or lists_tasks or shows_recent
        click.echo(render(status, with_workers=with_workers, width=terminal_width()))
    return 1 if is_check and not status.is_healthy else 0


def render(status: Status, *, with_workers: bool, width: int | None = None) -> str:
    """The status for people, on a terminal of so many columns; None: on whole lines."""
    since = clock.iso(status.started_at)
    lines = [f"{status.config}: {status.state}, master {status.pid}, since {since}"]
    lines += ["", *_pool_table(status.pools, width)]
    if status.disabled:
        lines += ["", f"disabled: {', '.join(status.disabled)}"]
    for pool in status.pools if with_workers else ():
        lines += ["", pool.name, *table(WORKER_HEADINGS, map(_worker_row, pool.workers))]
        tasks = [task for worker in pool.workers for task in worker.tasks or ()]
        rows = [(task.task, duration(task.busy_s), printable(task.id or "")) for task in tasks]
        lines += ["", *table(TASK_HEADINGS, rows)] if tasks else []
        ended = [row for worker in pool.workers for row in _recent_rows(worker)]
        lines += ["", *table(RECENT_HEADINGS, ended, numbers=("TASKS",))] if ended else []
    lines += ["", "healthy" if status.is_healthy else "not healthy:"]
    lines += [line for problem in status.problems for line in note(problem, width)]
    parked = sum(pool.parked_tasks for pool in status.pools)
    if parked:
        lines += ["", f"{parked} {'task is' if parked == 1 else 'tasks are'} parked: see consumerd parked list"]
    lines += _limited(status)
    return "\n".join(map(printable, lines))


def _limited(status: Status) -> list[str]:
    """How many tasks wait for limits, where any do."""
    in_all = [limit for limit in status.limits if limit.key is None and limit.waiting]
    if unshared := [limit.limit for limit in in_all if limit.is_unshared]:
        return ["", f"nothing of {', '.join(unshared)} starts: the parking store by which hosts share it is away"]
    if not in_all:
        return []
    longest_s = max(limit.first_waits_s or 0.0 for limit in in_all)
    names = ", ".join(limit.limit for limit in in_all)
    return ["", f"tasks wait for {names}, the first for {duration(longest_s)}: see consumerd limits"]


def _pool_table(pools: Sequence[PoolStatus], width: int | None) -> list[str]:
    """A line for each pool, and below it what there is to note of it."""
    rows = list(map(_pool_row, pools))
    lines, of_pools = named_table(POOL_HEADINGS, rows, numbers=POOL_HEADINGS[3:], width=width)
    for pool, of_pool in zip(pools, of_pools, strict=True):
        lines += [*of_pool, *(line for each in notes(pool) for line in note(each, width))]
        for told in _schedule(pool.schedule) if pool.schedule is not None else ():
            lines += note(told, width)
    return lines


def notes(pool: PoolStatus) -> list[str]:
    """What is to be known of a pool, and none of its problems says."""
    paused = "" if pool.paused is None else f"paused since {clock.moment(pool.paused.at)} by {pool.paused.by}"
    held = f"held back: {pool.throttled}" if pool.throttled else ""
    saved = f"{pool.coalesced} of the handled tasks were finished with another" if pool.coalesced else ""
    told = filter(None, (paused, held, saved, _note(pool)))
    return [each for each in told if not any(each in problem for problem in pool.problems)]


def _schedule(schedule: ScheduleStatus) -> Iterator[str]:
    """When it runs next, what does not run, and how far each run has come."""
    times = ", ".join(clock.iso(time).replace(".000Z", "Z") for time in schedule.next)
    took = [] if schedule.last_took_s is None else [f"the last one took {schedule.last_took_s:.3g} s"]
    left_out = [f"{number} {what}" for number, what in ((schedule.missed, "missed"), (schedule.skipped, "skipped"))]
    told = [*took, *(text for text in left_out if not text.startswith("0 "))]
    yield "; ".join([f"next runs: {times}" if times else "it has not run yet", *told])
    for run in schedule.running:
        told = [f"run of {clock.iso(run.scheduled)}: since {clock.moment(run.since)}"]
        told += [f"{run.done:g} of {run.total:g} done"] if run.done is not None and run.total is not None else []
        told += [] if run.ends is None else [f"ends about {clock.iso(run.ends).replace('T', ' ')[:19]} UTC"]
        told += [f"given to a worker {run.starts} times"] if run.starts > 1 else []
        yield ", ".join(told)


def _pool_row(pool: PoolStatus) -> Sequence[str]:
    workers = f"{pool.workers_running}/{pool.workers_wanted}"
    if pool.workers_finished:
        workers += f" ({pool.workers_finished} finished)"
    parked = "-" if pool.parked_now is None else str(pool.parked_tasks)
    counts = (pool.handled, pool.failed, parked, pool.unsettled, pool.restarts)
    state = f"{pool.state}, {pool.held}" if pool.held else pool.state
    return (pool.name, state, workers, *map(str, counts), _lag(pool))


def _lag(pool: PoolStatus) -> str:
    """How many tasks wait, in all shards; how old that number is, where nobody has measured for a while."""
    if pool.lag_age_s is None or not pool.lag:
        return "-"
    tasks = str(pool.lag_tasks)
    tasks += f" +{pool.later} later" if pool.later else ""
    return tasks if pool.lag_age_s <= OLD_LAG_S else f"{tasks} ({duration(pool.lag_age_s)} old)"


def _note(pool: PoolStatus) -> str:
    """What is on trial, the last error; else why it has so many workers. Nothing where a problem explains it all."""
    if pool.reason or pool.state != "up":
        return ""
    if 0 < pool.established < pool.edition:
        return f"edition {pool.edition} is on trial"
    if pool.last_error is not None:
        return _last_error(pool.last_error, pool.restarts)
    return _scaled(pool)


def _scaled(pool: PoolStatus) -> str:
    """Why the pool has so many workers, where the configuration alone does not say."""
    if pool.scaling is not None:
        return _shortened(pool.scaling.reason)
    told = [] if pool.workers_pinned is None else [f"pinned to {pool.workers_pinned} by hand"]
    if pool.workers_helping is not None and pool.workers_helping < pool.workers_wanted:
        told.append(shards_help(pool.workers_helping))
    return ", ".join(told)


def shards_help(shards: int) -> str:
    """So many workers help, and no more."""
    return f"{shards} help: its source has {shards} {'partition' if shards == 1 else 'partitions'}"


def _last_error(error: LastError, restarts: int) -> str:
    """What went wrong; how often workers were restarted, where it ended one; how long ago, once that is a while."""
    from consumerd import events  # not on the way of a status without errors

    fields = {name: value for name, value in error.fields.items() if name not in ("consumer", "traceback")}
    told = str(fields.pop("error", fields.pop("reason", "")))
    if error.name == events.worker_ended.name:
        told = f"worker {fields.get('worker_id')} ended: {fields.get('end')}"
    elif error.name != events.consume_failed.name:
        others = [f"{name}={value}" for name, value in fields.items() if value not in ("", None)]
        told = f"{error.name}: {', '.join([told, *others] if told else others)}"
    more = ""
    if error.name in (events.consume_failed.name, events.worker_ended.name) and restarts:
        more = f", {restarts} restart{'' if restarts == 1 else 's'}"
    ago_s = clock.wall() - error.at
    return _shortened(told) + more + (f" ({duration(ago_s)} ago)" if ago_s > OLD_ERROR_S else "")


def _worker_row(worker: WorkerStatus) -> Sequence[str]:
    pid = "-" if worker.pid is None else str(worker.pid)
    handled = "-" if worker.handled is UNSET else str(worker.handled)
    since = duration(worker.since_s)
    return (str(worker.slot), pid, str(worker.generation), worker.state, since, handled, doing(worker))


def doing(worker: WorkerStatus) -> str:
    """What a worker is on now."""
    if worker.starts_in_s is not None:
        return f"starts in {duration(worker.starts_in_s)}"
    if worker.busy_s is UNSET or worker.busy_s is None:
        return ""
    task = "" if worker.offset is None else f"offset {worker.offset} of shard {worker.shard}"
    if worker.running is not UNSET and worker.running > 1:
        task = f"{worker.running} of {worker.at_once} tasks, the oldest {task}"
    is_known = worker.busy_s >= KNOWN_S
    return f"{task} for {duration(worker.busy_s)}".lstrip() if is_known else task or "a batch"


def _recent_rows(worker: WorkerStatus) -> Iterator[Sequence[str]]:
    """What it has ended last, the newest first, then what the one before it in its slot had, where that died."""
    for each in worker.recent.ended if worker.recent is not UNSET else ():
        yield _recent_row(str(worker.slot), each)
    last = worker.last_end
    for each in last.recent.ended if last is not None and last.recent is not None else ():
        yield _recent_row(f"{worker.slot}, before", each)


def _recent_row(name: str, ended: EndedTasks) -> Sequence[str]:
    ago, last = duration(max(0.0, clock.wall() - ended.at)), printable(ended.id or f"offset {ended.last}")
    return (name, ago, str(ended.tasks), ended.outcome, how_each_took(ended), last)


def how_each_took(ended: EndedTasks) -> str:
    """How long each ran: `about 2 µs`."""
    return f"about {duration(ended.took_s)}" if ended.is_about else duration(ended.took_s)


def _shortened(text: str) -> str:
    """Its first line, whole unless it is longer than anybody writes."""
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= LONGEST_NOTE else line[: LONGEST_NOTE - 1] + "…"
