"""Parked tasks: which there are, how they failed, one of them whole; and what an operator decides of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import click

from consumerd import clock
from consumerd.config.amounts import duration
from consumerd.dashboard.access.sessions import Role
from consumerd.dashboard.page import Act, Ask, Context, Form, NotThereError, Page, Visit
from consumerd.errors import ConsumerdError, NotRunningError, UsageError
from consumerd.verbs.parked.asking import Item, added_up
from consumerd.verbs.parked.command import Moment, Rate
from consumerd.verbs.parked.methods import (
    MOST_COUNTED,
    REFUSES_RECORD,
    ParkedChange,
    ParkedDiscard,
    ParkedEdit,
    ParkedErrors,
    ParkedList,
    ParkedRetry,
    ParkedShow,
)
from consumerd.verbs.parked.view import contents, render_changed

PAGE_ROWS = 100
MOST_ROWS = 1_000
LONGEST_PRETTY = 200_000
"""A record that is longer is shown as it came."""
LONGEST_EDITED = 40_000
"""A request of the control socket has 64 KiB at most, with quotes and other letters written longer."""
LARGEST_EDIT_BYTES = 12 * LONGEST_EDITED + 16_384
"""A form has each of its characters as twelve at most."""

STATES = ("dead", "waiting", "suspect")
NARROWING = ("target", "state", "error", "text", "where", "since")
CHANGES: Mapping[str, type[ParkedChange]] = {"retry": ParkedRetry, "discard": ParkedDiscard}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which tasks somebody has chosen, as they have written it: in the query of a page, in the fields of a form."""

    written: Mapping[str, str]

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Chosen:
        """What of these fields narrows down."""
        return cls({name: fields[name].strip() for name in NARROWING if fields.get(name, "").strip()})

    def narrowing(self) -> dict[str, Any]:
        """As the methods have it. UsageError."""
        since = {"since": _converted(Moment(), self.written["since"])} if "since" in self.written else {}
        return {**self.written, **since}

    def link(self, path: str, **more: str) -> str:
        """A page of the same tasks."""
        query = urlencode({**self.written, **more})
        return f"{path}?{query}" if query else path

    def words(self) -> str:
        """For people."""
        return ", ".join(f"{name} {value}" for name, value in self.written.items()) or "all"


def show_list(visit: Visit) -> Context:
    """The newest failures; or with `by=error` how many failed alike."""
    chosen, by_error = Chosen.of(visit.query), visit.query.get("by") == "error"
    most = min(max(PAGE_ROWS, _whole(visit.query.get("most", ""))), MOST_ROWS)
    found: Sequence[Item] = ()
    problem = ""
    try:
        if by_error:
            found = visit.answer(ParkedErrors(**chosen.narrowing()))
        else:
            found = visit.answer(ParkedList(limit=most + 1, **chosen.narrowing()))
    except ConsumerdError as error:
        problem = str(error)
    return {
        "chosen": chosen,
        "states": STATES,
        "targets": _targets(visit),
        "problem": problem,
        "by_error": by_error,
        "rows": [] if by_error else [_row(item) for item in found[:most]],
        "groups": [_group(chosen, item) for item in found] if by_error else [],
        "is_cut": sum(item["tasks"] for item in found) >= MOST_COUNTED if by_error else len(found) > most,
        "more": chosen.link("/parked", most=str(most + PAGE_ROWS)) if most < MOST_ROWS else "",
    }


def _targets(visit: Visit) -> list[str]:
    return [] if visit.seen.metrics is None else [pool.name for pool in visit.seen.metrics.status.pools]


def _row(item: Item) -> Item:
    now = clock.wall()
    due = "" if item["due_at"] is None else "now" if item["due_at"] <= now else f"in {duration(item['due_at'] - now)}"
    state = "claimed" if item["is_claimed"] else item["state"]
    return {**item, "state": state, "due": due, "ago": _ago(item["last_at"])}


def _group(chosen: Chosen, item: Item) -> Item:
    narrowed = {"target": item["consumer"], "error": item["search"].strip()}
    tasks = Chosen.of({**chosen.written, **narrowed})
    return {**item, "first": _ago(item["first_at"]), "last": _ago(item["last_at"]), "link": tasks.link("/parked")}


def _ago(at: float) -> str:
    return f"{duration(max(0.0, clock.wall() - at))} ago"


def show_task(visit: Visit) -> Context:
    """One task whole."""
    handle = visit.parameters["handle"]
    try:
        (task,) = visit.answer(ParkedShow(reference=handle))
    except NotRunningError:
        raise
    except ConsumerdError as error:
        raise NotThereError(str(error)) from error
    payload: bytes = task["payload"]
    record, is_json = _pretty(payload)
    is_decidable = task["state"] in ("dead", "waiting")
    fits = is_decidable and len(payload) <= LONGEST_EDITED
    why_not = _why_not_edited(visit, handle) if fits and visit.role >= Role.OPERATOR else ""
    return {
        "task": task,
        "record": record,
        "is_json": is_json,
        "edited": _escaped(record) if is_json else "",
        "is_editable": fits and not why_not,
        "why_not_edited": why_not,
        "is_decidable": is_decidable,
        "size": len(payload),
        "headers": [(name, _shown(value)) for name, value in task["headers"]],
        "key": None if task["key"] is None else _shown(task["key"]),
        "ago": _ago(task["last_at"]),
    }


def _why_not_edited(visit: Visit, handle: str) -> str:
    """Why the master would refuse another record for the task; empty where it takes one."""
    try:
        visit.answer(ParkedEdit(reference=handle, record="{}", dry_run=True))
    except ConsumerdError as error:
        return str(error).removeprefix(REFUSES_RECORD)
    return ""


def _pretty(payload: bytes) -> tuple[str, bool]:
    """A record for people, and whether it is JSON."""
    try:
        record = json.loads(payload.decode("utf-8"))
        text = json.dumps(record, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "\n".join(line[2:] for line in contents(payload)), False
    return (text if len(text) <= LONGEST_PRETTY else payload.decode("utf-8")), True


def _escaped(record: str) -> str:
    """JSON that is the same, with nothing in it that cannot be seen or turns the direction."""
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in record)


def _shown(content: bytes | None) -> str:
    if content is None:
        return "(none)"
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.hex(" ")


def show_confirmation(visit: Visit) -> Context:
    """How many tasks a change would reach, before it is made."""
    do, handle = visit.query.get("do", ""), visit.query.get("handle", "")
    if do not in CHANGES:
        raise NotThereError("there is nothing to confirm")
    chosen, until = Chosen.of(visit.query), clock.wall()
    counted: list[Item] = []
    problem = "only an operator may change parked tasks" if visit.role < Role.OPERATOR else ""
    try:
        counted = [] if problem else visit.answer(_change(do, chosen, handle, until, dry_run=True))
    except ConsumerdError as error:
        problem = str(error)
    meant = [item for item in added_up(counted) if not item["is_left"]]
    left = [item for item in added_up(counted) if item["is_left"]]
    total = sum(item["tasks"] for item in meant)
    fields = {**chosen.written, "do": do, "handle": handle, "until": repr(until), "expected": str(total)}
    return {
        "do": do,
        "chosen": chosen,
        "handle": handle,
        "problem": problem,
        "meant": meant,
        "left": left,
        "total": total,
        "fields": {**fields, "back": "/parked" if handle else chosen.link("/parked")},
    }


def _change(do: str, chosen: Chosen, handle: str, until: float, *, dry_run: bool = False, **more: Any) -> ParkedChange:
    """until: no task is meant that has failed since then; of one by its handle that does not matter."""
    kind = CHANGES[do]
    if handle:
        return kind(references=(handle,), dry_run=dry_run, **more)
    return kind(all=True, until=until, dry_run=dry_run, **{**chosen.narrowing(), **more})


def change(form: Form, ask: Ask) -> Iterable[str]:
    """Retry or discard what a form means. All that were counted need their number again, where they are discarded."""
    do, handle, expected = form.get("do", ""), form.get("handle", ""), form.get("expected", "")
    if do not in CHANGES:
        raise UsageError("this form asks for nothing")
    is_counted = do == "discard" and not handle
    if is_counted and form.get("typed", "").replace(",", "").strip() != expected:
        typed = form.get("typed", "")
        raise UsageError(f"nothing was discarded: {expected} tasks were counted, and {typed!r} was typed")
    rate = _converted(Rate(), form["rate"]) if do == "retry" and form.get("rate", "").strip() else None
    more: dict[str, Any] = {} if rate is None else {"rate": rate}
    items = ask(_change(do, Chosen.of(form), handle, _moment(form.get("until", "")), **more))
    return render_changed(do, added_up(items), is_dry=False, rate=rate)


def edit(form: Form, ask: Ask) -> Iterable[str]:
    """Give one task another record."""
    record = form.get("record", "").replace("\r\n", "\n")
    (edited,) = ask(ParkedEdit(reference=form.get("handle", ""), record=record))
    return [f"{edited['consumer']}: the record of {edited['handle']} is changed; edited.log keeps what it was"]


def _moment(text: str) -> float:
    """A time that a form brings back. UsageError where it is none: then nobody knows what was counted."""
    try:
        moment = float(text)
    except ValueError as error:
        raise UsageError("this form has no time: open the page again") from error
    if not math.isfinite(moment):
        raise UsageError("this form has no time: open the page again")
    return moment


def _converted(kind: click.ParamType[float], text: str) -> float:
    try:
        return kind.convert(text, None, None)
    except click.UsageError as error:
        raise UsageError(error.message) from error


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


LIST = Page("/parked", "Parked", "parked.html", show_list, is_listed=True, is_live=False)
CONFIRMATION = Page("/parked/confirm", "Parked tasks", "parked_confirmation.html", show_confirmation, is_live=False)
TASK = Page("/parked/{handle}", "Parked task", "parked_task.html", show_task, is_live=False)
PAGES = (LIST, CONFIRMATION, TASK)
ACTS = (Act("parked-change", change), Act("parked-edit", edit, LARGEST_EDIT_BYTES))
