"""The view of a running demo: a table that moves on a terminal, plain lines everywhere else."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from consumerd.demo.progress import Kill, Progress
from consumerd.demo.snapshot import WorkerSight

PLAIN_INTERVAL_S = 1.0
LATEST = 4
WIDE_COLUMNS = 64
BAR_COLUMNS = 60

_STYLES = {"running": "green", "starting": "yellow", "backing_off": "red", "draining": "yellow"}


class View(Protocol):
    """What the demo tells its user while it runs."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, text: str, style: str = "") -> None:
        """One thing that happened."""
        ...

    def show(self, progress: Progress) -> None:
        """How it stands; called often, shown as often as it makes sense."""
        ...


def view_for(console: Console) -> View:
    """A live view where the terminal can show one."""
    return LiveView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView(console)


class PlainView:
    """Lines: what happened at once, how it stands at most once a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def say(self, text: str, style: str = "") -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, progress: Progress) -> None:
        if progress.elapsed_s >= self._next_s:
            self._next_s = progress.elapsed_s + PLAIN_INTERVAL_S
            self.say(standing(progress))


class LiveView:
    """A progress bar, a row for each worker, and what happened last; drawn anew where it stands."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._latest: deque[Text] = deque(maxlen=LATEST)
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        self._latest.append(Text(text, style=style))
        self._draw()

    def show(self, progress: Progress) -> None:
        self._progress = progress
        self._draw()

    def _draw(self) -> None:
        if self._progress is not None:
            parts: list[RenderableType] = [picture(self._progress, self._console.width), *self._latest]
            self._live.update(Group(*parts), refresh=True)


def standing(progress: Progress) -> str:
    """How it stands, in a line."""
    running = sum(worker.is_running for worker in progress.snapshot.workers) if progress.snapshot else 0
    return (
        f"{progress.elapsed_s:4.1f} s: {progress.done:,} of {progress.produced:,} done, "
        f"{progress.parked} parked, {running} workers running"
    )


def picture(progress: Progress, width: int) -> RenderableType:
    """How it stands, as a bar and a table that fit into `width` columns."""
    bar = Table.grid()  # a bar alone does not end its line
    bar.add_row(
        ProgressBar(total=progress.produced, completed=progress.done, width=min(BAR_COLUMNS, max(10, width - 2)))
    )
    workers = _workers(progress, is_wide=width >= WIDE_COLUMNS)
    return Group(Text(standing(progress), style="bold"), bar, Text(), workers, *_footnote(progress.kill), Text())


def _footnote(kill: Kill | None) -> tuple[Text, ...]:
    """Why the counts of the workers do not add up to what is done."""
    if kill is None:
        return ()
    text = f"not counted here: the {kill.handled:,} or few more that worker {kill.slot} had handled when it was killed"
    return (Text(text, style="dim"),)


def _workers(progress: Progress, *, is_wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("worker", justify="right")
    table.add_column("pid", justify="right", no_wrap=True)
    table.add_column("state", min_width=11, no_wrap=True)
    table.add_column("handled", justify="right", min_width=7)
    if is_wide:
        table.add_column("failed", justify="right")
        table.add_column("parked", justify="right")
        table.add_column("", no_wrap=True)
    for worker in progress.snapshot.workers if progress.snapshot else ():
        cells = _cells(worker, is_killed=progress.kill is not None and progress.kill.slot == worker.slot)
        table.add_row(*(cells if is_wide else cells[:4]))
    return table


def _cells(worker: WorkerSight, *, is_killed: bool) -> tuple[Text, ...]:
    remark = ("the replacement" if worker.is_running else "killed") if is_killed else ""
    return (
        Text(str(worker.slot)),
        Text(str(worker.pid or "-")),
        Text(worker.state, style=_STYLES.get(worker.state, "")),
        Text(f"{worker.handled:,}"),
        Text(str(worker.failed or "")),
        Text(str(worker.parked or "")),
        Text(remark, style="yellow"),
    )
