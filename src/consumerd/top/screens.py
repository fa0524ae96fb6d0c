"""The two screens of `consumerd top`: all pools, and one of them with its workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from msgspec import UNSET
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Input, Static

from consumerd import clock
from consumerd.cli.lines import printable
from consumerd.top import model
from consumerd.top.history import History
from consumerd.top.widgets import Table
from consumerd.wire.status import PoolStatus, Status, WorkerStatus

MOST_PROBLEMS = 4


@dataclass
class Seen:
    """What is known of the master. away: why it does not answer; empty while it does."""

    status: Status | None = None
    history: History = field(default_factory=History)
    away: str = ""

    def pool(self, name: str | None) -> PoolStatus | None:
        return None if self.status is None or name is None else self.status.pool(name)


class PoolsScreen(Screen[None]):
    """All pools."""

    BINDINGS: ClassVar[list[BindingType]] = [("slash", "filter", "Filter"), ("s", "sort", "Sort")]

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self._seen = seen
        self._orders = list(model.ORDERS)
        self._wanted = ""

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Static(id="problems")
        yield Input(placeholder="a part of a name, a state or a class; Enter", id="filter")
        yield Table(id="pools")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#filter").display = False
        self.query_one(Table).focus()
        self.show()

    def on_resize(self) -> None:
        self.show()

    @property
    def pool(self) -> PoolStatus | None:
        """The one at the cursor."""
        return self._seen.pool(self.query_one(Table).chosen)

    def show(self) -> None:
        """What is known now."""
        seen, status = self._seen, self._seen.status
        self.query_one("#title", Static).update(Text(printable(self._title()), no_wrap=True))
        show_problems(self.query_one("#problems", Static), seen, None if status is None else status.problems)
        if status is None:
            return
        pools = model.chosen(status.pools, seen.history, order=self._orders[0], wanted=self._wanted)
        columns = model.columns_for(self.size.width, [pool.name for pool in status.pools])
        rows = ((pool.name, model.pool_cells(pool, seen.history, columns), style_of(pool)) for pool in pools)
        self.query_one(Table).fill(columns, rows)

    def _title(self) -> str:
        status = self._seen.status
        if status is None:
            return "consumerd top"
        shown = f", with {self._wanted!r}" if self._wanted else ""
        order = "" if self._orders[0] == "as configured" else f", by {self._orders[0]}"
        return f"{status.config}: {status.state}, master {status.pid}, {len(status.pools)} pools{shown}{order}"

    def action_filter(self) -> None:
        entry = self.query_one("#filter", Input)
        entry.display = True
        entry.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._wanted = event.value.strip()
        event.input.display = False
        self.query_one(Table).focus()
        self.show()

    def action_sort(self) -> None:
        self._orders.append(self._orders.pop(0))
        self.show()


class PoolScreen(Screen[None]):
    """One pool, its workers, and what the one at the cursor has done last."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "app.pop_screen", "Back"), ("c", "app.cancel_task", "Cancel")]

    def __init__(self, seen: Seen, name: str) -> None:
        super().__init__()
        self._seen = seen
        self.name_of_pool = name

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Static(id="problems")
        yield Table(id="workers")
        yield Static(id="end")
        yield Table(id="recent")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#workers").focus()
        self.show()

    def on_resize(self) -> None:
        self.show()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        if event.data_table.id == "workers":
            self._show_worker()

    @property
    def pool(self) -> PoolStatus | None:
        return self._seen.pool(self.name_of_pool)

    @property
    def worker(self) -> WorkerStatus | None:
        """The one at the cursor."""
        chosen, pool = self.query_one("#workers", Table).chosen, self.pool
        workers = [] if pool is None else pool.workers
        return next((worker for worker in workers if str(worker.slot) == chosen), None)

    def show(self) -> None:
        pool, width = self.pool, self.size.width
        problems = None if pool is None else pool.problems
        show_problems(self.query_one("#problems", Static), self._seen, problems)
        if pool is None:
            known = self._seen.status is not None
            self.query_one("#head", Static).update(f"there is no pool {self.name_of_pool}" if known else "")
            return
        self.query_one("#head", Static).update(Text("\n".join(model.pool_lines(pool, self._seen.history, width))))
        columns = model.worker_columns(width)
        rows = (
            (str(worker.slot), model.worker_cells(worker, columns), "red" if worker.stuck else "")
            for worker in pool.workers
        )
        self.query_one("#workers", Table).fill(columns, rows)
        self._show_worker()

    def _show_worker(self) -> None:
        worker = self.worker
        recent = [] if worker is None or worker.recent is UNSET else worker.recent.ended
        end = [] if worker is None else list(model.end_lines(worker))
        self.query_one("#end", Static).update(Text("\n".join(map(printable, end))))
        self.query_one("#end").display = bool(end)
        columns, now = model.recent_columns(self.size.width), clock.wall()
        rows = (
            (str(number), model.recent_cells(each, now, columns), "" if each.outcome == "done" else "yellow")
            for number, each in enumerate(recent)
        )
        self.query_one("#recent", Table).fill(columns, rows)


def style_of(pool: PoolStatus) -> str:
    if pool.problems:
        return "red"
    return "yellow" if pool.held else ""


def show_problems(place: Static, seen: Seen, problems: Sequence[str] | None) -> None:
    """The first sentences; or that the master is away, and that what is shown is old."""
    if seen.away:
        asked = "It is asked again each second" + ("." if seen.status is None else "; what is shown is old.")
        place.update(Text(f"{printable(seen.away)}\n{asked}", style="bold yellow"))
        return
    if not problems:
        place.update(Text("" if problems is None else "healthy", style="green"))
        return
    lines = [printable(problem) for problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        lines.append(f"and {len(problems) - MOST_PROBLEMS} more: press d")
    place.update(Text("\n".join(lines), style="red"))
