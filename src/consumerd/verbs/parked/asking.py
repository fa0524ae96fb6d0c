"""Where `consumerd parked` asks: the master, or, where none runs, the store itself. Imports nothing heavy at first."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from consumerd import clock
from consumerd.cli.options import state_dir_of
from consumerd.errors import NotRunningError
from consumerd.state.state_dir import StateDirectory
from consumerd.verbs.parked.methods import ParkedChange, ParkedMethod
from consumerd.wire.messages import Serve, StoreRequest
from consumerd.wire.method import follow

PROGRESS_S = 2.0

Item = dict[str, Any]  # a row, as JSON brought it


def ask(state_dir: StateDirectory, config: str | None, asked: ParkedMethod) -> list[Item]:
    """All items of the answer. `config`: ask the store that it names, with the environment of this process.

    ConsumerdError with one sentence where that failed.
    """
    if config is not None:
        items = _ask_configured(config, state_dir, asked)
    else:
        try:
            items = ask_master(state_dir, asked)
        except NotRunningError:
            items = _ask_embedded(state_dir, asked)
    return added_up(items) if isinstance(asked, ParkedChange) else items


def ask_master(state_dir: StateDirectory, asked: ParkedMethod) -> list[Item]:
    """The same of the running master; NotRunningError where there is none."""
    return _gathered(follow(state_dir.control_socket, asked))


def _ask_embedded(state_dir: StateDirectory, asked: ParkedMethod) -> list[Item]:
    if not state_dir.parked_database.exists():
        raise NotRunningError(
            f"no master answers on {state_dir.control_socket}, and no task is parked in {state_dir.path}: "
            "name its --state-dir, or with --config the configuration whose store is meant"
        )
    return _ask_store(Serve("{}", str(Path.cwd()), str(state_dir.path)), asked.request(None))


def _ask_configured(config: str, state_dir: StateDirectory, asked: ParkedMethod) -> list[Item]:
    from consumerd.config.loading import load

    document = load(config, serves=False)
    path = state_dir_of(document.state_dir, state_dir).path
    serve = Serve(document.settings.model_dump_json(), str(document.directory), str(path))
    return _ask_store(serve, asked.request(tuple(str(consumer.full_name) for consumer in document.consumers)))


def _ask_store(serve: Serve, request: StoreRequest) -> list[Item]:
    from consumerd.verbs.parked.helper import ParkedTasks  # SQL: not for who asks the master

    with closing(ParkedTasks(serve)) as tasks:
        return _gathered(tasks.pages(request))


def _gathered(pages: Iterable[Any]) -> list[Item]:  # pages of items
    """The items of all pages. How many tasks a change has gone through is told now and then, on a terminal."""
    items: list[Item] = []
    tasks, told_at = 0, clock.monotonic()
    for page in pages:
        items += page
        tasks += sum(item.get("tasks", 0) for item in page)
        if tasks and clock.monotonic() - told_at >= PROGRESS_S and sys.stderr is not None and sys.stderr.isatty():
            told_at = clock.monotonic()
            sys.stderr.write(f"{tasks} tasks so far …\n")
            sys.stderr.flush()
    return items


def added_up(items: list[Item]) -> list[Item]:
    """What a change did in steps, as one item for each consumer; what was left comes last."""
    totals: dict[Any, int] = {}  # by what an item says besides
    for item in items:
        key = item["is_left"], item["consumer"]
        totals[key] = totals.get(key, 0) + item["tasks"]
    return [{"consumer": name, "tasks": tasks, "is_left": left} for (left, name), tasks in sorted(totals.items())]
