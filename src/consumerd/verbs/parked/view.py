"""Parked tasks for people's eyes: a list, and one task whole. What came from outside is escaped."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import click

from consumerd.cli.lines import printable, table
from consumerd.clock import iso, wall
from consumerd.config.amounts import duration
from consumerd.model.identity import ConsumerName
from consumerd.verbs.parked.asking import Item
from consumerd.wire.status import PoolStatus

ERROR_HEADINGS = ("TASKS", "FIRST", "LAST", "HANDLE", "CONSUMER")
HEADINGS = ("HANDLE", "STATE", "ATTEMPTS", "LAST", "DUE", "CONSUMER")
LAST_MOMENT = 253_402_300_799.0
"""The end of the year 9999, behind which there is no date."""
LONGEST_TASK_ID = 80
LONGEST_ERROR = 80
LONGEST_TEXT = 64 * 1024
LONGEST_DUMP_BYTES = 4096
BYTES_A_LINE = 16


def render_list(rows: Sequence[Item], *, width: int | None = None) -> list[str]:
    """A line for each task, and below it which it is and how it failed; on a terminal of so many columns."""
    lines = table(HEADINGS, map(_row, rows), numbers=("ATTEMPTS",))
    is_narrow = width is not None and max(map(len, lines)) > width
    if is_narrow:
        lines = table(HEADINGS[:-1], [_row(row)[:-1] for row in rows], numbers=("ATTEMPTS",))
    shown = lines[:1]
    for row, line in zip(rows, lines[1:], strict=True):
        shown += [line, *([f"  {row['consumer']}"] if is_narrow else []), *_what_failed(row, width)]
    return shown


def render_nothing(narrowing: Mapping[str, object]) -> str:
    """Said where there is no row. narrowing: what the tasks had to be like; nothing but a target is no part of it."""
    return "no parked task is like that" if any(narrowing.values()) else "nothing is parked"


def render_suspects(pools: Iterable[PoolStatus], target: str | None) -> Iterator[str]:
    """Where no suspect is listed: how many the master knows. The store has one only when it runs again, by which its
    death is written down.
    """
    for pool in pools:
        if pool.suspects and (target is None or ConsumerName.parse(pool.name).matches(target)):
            known = "1 suspect, which is" if pool.suspects == 1 else f"{pool.suspects} suspects, each of which is"
            when = f"listed when it runs again after a death that counts: see consumerd explain {pool.name}"
            yield f"{pool.name}: the master knows {known} {when}"


def _what_failed(row: Item, width: int | None) -> list[str]:
    task_id, error = printable(row["task_id"]), printable(row["error"])
    if width is None:
        return [f"  {within(task_id, LONGEST_TASK_ID)}  {cut(error, LONGEST_ERROR)}"]
    room = max(width - 2, 20)
    whole = f"{task_id}  {error}"
    return [f"  {text}" for text in ([whole] if len(whole) <= room else [within(task_id, room), cut(error, room)])]


def _row(row: Item) -> Sequence[str]:
    state = "claimed" if row["is_claimed"] else row["state"]
    now = wall()
    due = "-" if row["due_at"] is None else f"in {duration(row['due_at'] - now)}" if row["due_at"] > now else "now"
    return (row["handle"], state, str(row["attempts"]), _ago(now, row["last_at"]), due, row["consumer"])


def render_errors(rows: Sequence[Item]) -> list[str]:
    """A line for each consumer and error, and below it the error, without what differs from task to task."""
    now = wall()
    lines = table(
        ERROR_HEADINGS,
        [
            (str(row["tasks"]), _ago(now, row["first_at"]), _ago(now, row["last_at"]), row["handle"], row["consumer"])
            for row in rows
        ],
        numbers=("TASKS",),
    )
    shown = lines[:1]
    for row, line in zip(rows, lines[1:], strict=True):
        shown += [line, f"  {printable(row['error'])}"]
    return shown


def _ago(now: float, at: float) -> str:
    return f"{duration(max(0.0, now - at))} ago"


def render_changed(verb: str, items: Sequence[Item], *, is_dry: bool, rate: float | None = None) -> list[str]:
    """What a retry or discard did, or would do, and what it left of consumers that are not run here.

    rate: at which tasks become due.
    """
    total = sum(item["tasks"] for item in items if not item["is_left"])
    in_time = "due now" if rate is None else f"due at {_per_time(rate)}"
    done = {"retry": in_time, "discard": "discarded"}[verb]
    done = f"would be {done}" if is_dry else done
    lines = [f"{item['consumer']}: {item['tasks']} {done}" for item in items if not item["is_left"]]
    lines = lines or ["nothing is parked there"]
    if rate is not None and total:
        last_s = (total - 1) / rate
        lines.append(f"the last of {total} is due in {duration(last_s)}, at {iso(min(wall() + last_s, LAST_MOMENT))}")
    for item in items:
        if item["is_left"]:
            name = item["consumer"]
            lines.append(f"{name}: {item['tasks']} left as they are, since it is not run here: add --target {name}")
    return lines


def render_queries(items: Sequence[Item], queries: Collection[str]) -> Iterator[str]:
    """After a discard: whose rows may come again, since their queries know nothing of it. queries: such consumers."""
    for item in items:
        if item["consumer"] in queries and not item["is_left"]:
            again = "a row that its query still returns comes again as a new task"
            yield f"{item['consumer']}: {again}: mark it where it is kept, as on_parked can"


def _per_time(rate: float) -> str:
    unit, seconds = ("s", 1) if rate >= 1 else ("min", 60) if rate * 60 >= 1 else ("h", 3600)
    return f"{rate * seconds:g}/{unit}"


def is_asked() -> bool:
    """Whether a person sits before us, whom we can ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def agrees(verb: str, counted: Sequence[Item]) -> bool:
    """Ask whether so many tasks are to be changed; nobody is asked about none."""
    meant = [item for item in counted if not item["is_left"]]
    total = sum(item["tasks"] for item in meant)
    names = ", ".join(f"{item['consumer']} {item['tasks']}" for item in meant)
    return not total or click.confirm(f"{verb} {total} {'task' if total == 1 else 'tasks'} ({names})?", err=True)


def render_task(task: Item) -> list[str]:
    """One task whole: where it is from, what became of it, its contents."""
    due = [] if task["due_at"] is None else [f"due           {iso(task['due_at'])}"]
    lines = [
        f"handle        {task['handle']}",
        f"consumer      {task['consumer']}",
        f"state         {task['state']}",
        *due,
        f"task          {printable(task['task_id'])}",
        f"source        {printable(task['source'])}, shard {task['shard']}, position {task['position']}",
        f"offset        {task['offset']}",
        f"attempts      {task['attempts']}",
        f"first attempt {iso(task['first_at'])}",
        f"last attempt  {iso(task['last_at'])}",
        f"error         {printable(task['error'])}",
    ]
    if task["crashes"]:
        lines.append(f"crashes       {task['crashes']}")
    lines += [f"header        {printable(name)} = {short(value)}" for name, value in task["headers"]]
    if task["key"] is not None:
        lines.append(f"key           {short(task['key'])}")
    if task["traceback"]:
        lines += ["", "traceback", *indented(task["traceback"])]
    if task["log"]:
        lines += ["", "what its last attempt logged", *indented(task["log"])]
    if task["state"] == "suspect":
        return [*lines, "", "payload: its source still has it"]
    return [*lines, "", f"payload, {len(task['payload'])} bytes", *contents(task["payload"])]


def indented(text: str) -> Iterator[str]:
    """The text's own lines, each escaped and moved to the right."""
    for line in text.split("\n"):
        yield f"  {printable(line)}"


def contents(payload: bytes) -> list[str]:
    """Text where it is UTF-8, else a dump; its start, where it is long."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        lines = list(dump(payload[:LONGEST_DUMP_BYTES]))
        return lines if len(payload) <= LONGEST_DUMP_BYTES else [*lines, _MORE]
    lines = list(indented(text[:LONGEST_TEXT]))
    return lines if len(text) <= LONGEST_TEXT else [*lines, _MORE]


_MORE = "  … the rest is left out: see --raw"


def dump(content: bytes) -> Iterator[str]:
    """Sixteen bytes a line: where they begin, in hexadecimal, and what of them is ASCII."""
    for start in range(0, len(content), BYTES_A_LINE):
        row = content[start : start + BYTES_A_LINE]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"  {start:08x}  {row.hex(' '):<{3 * BYTES_A_LINE}} {text}"


def short(content: bytes | None) -> str:
    """A header's value or a key on one line."""
    if content is None:
        return "(none)"
    try:
        return cut(printable(content.decode("utf-8")), LONGEST_ERROR)
    except UnicodeDecodeError:
        return cut(content.hex(" "), LONGEST_ERROR)


def cut(text: str, length: int) -> str:
    """The text's start, where it is longer."""
    return text if len(text) <= length else text[: length - 1] + "…"


def within(text: str, length: int) -> str:
    """The text without its middle, where it is longer: ids differ at their ends."""
    return text if len(text) <= length else f"{text[: length // 2 - 1]}…{text[-(length - length // 2) :]}"
