"""What the screens of `consumerd top` are made of: a table; a question and a text to read, which lie over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Static

from consumerd.cli.lines import printable, printable_lines
from consumerd.top.acts import Act
from consumerd.top.model import Column

HELP = """\
Enter, Esc   open the pool at the cursor; go back
/            show only pools with a text in their name, state or class; empty: all
s            sort: as configured, problems, lag, rate, parked
d            what is wrong, why, and what to do (consumerd doctor)
q            end; the master goes on

Each of these says first what it will do, and asks:

+ -          one worker more, one fewer
a            as many workers as the configuration says
p            pause; of a paused pool, resume
r            restart, slot by slot, with the code as it is now
t            handle the parked tasks again
c            in a pool: end the attempt of the worker at the cursor

!            before a name: the pool has a problem; the sentences are at the top
RATE/S       tasks that were done, a second, over the last three seconds
LAG, OLDEST  tasks that wait, and since when the oldest does; taken every ten seconds
about        a share: quick tasks are not timed one by one
"""


class Table(DataTable[Text]):
    """A table of texts, of which only the cells that change are written anew."""

    def __init__(self, **given: Any) -> None:  # as of a widget
        super().__init__(cursor_type="row", **given)
        self._shown: list[Column] = []
        self._keys: list[str] = []
        self._cells: dict[str, list[str]] = {}

    @property
    def chosen(self) -> str | None:
        """The key of the row at the cursor."""
        return self._keys[self.cursor_row] if 0 <= self.cursor_row < len(self._keys) else None

    def fill(self, columns: Sequence[Column], rows: Iterable[tuple[str, list[str], str]]) -> None:
        """Show these rows: the key of each, its cells, and the style of all of them. The cursor stays on its key."""
        found = list(rows)
        keys, before = [key for key, _, _ in found], self.chosen
        if columns != self._shown or keys != self._keys:
            self.clear(columns=True)
            for column in columns:
                self.add_column(_text(column.title, column), width=column.width, key=column.title)
            for key, cells, style in found:
                self.add_row(*map(_text, cells, columns, [style] * len(cells)), key=key)
            self._shown, self._keys = list(columns), keys
            if before in keys:
                self.move_cursor(row=keys.index(before))
        else:
            for row, (key, cells, style) in enumerate(found):
                for at, (was, now) in enumerate(zip(self._cells[key], [*cells], strict=False)):
                    if was != now or self._cells[key][-1] != style:
                        self.update_cell_at((row, at), _text(now, columns[at], style))  # type: ignore[arg-type]  # a pair
        self._cells = {key: [*cells, style] for key, cells, style in found}


def _text(cell: str, column: Column, style: str = "") -> Text:
    return Text(printable(cell), style=style, justify="right" if column.is_number else "left", no_wrap=True)


class Question(ModalScreen[bool]):
    """Answers with yes or no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)", "Yes"),
        ("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, act: Act) -> None:
        super().__init__()
        self._act = act

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(Text(printable(self._act.question)), id="question")
            yield Static(Text(printable(self._act.command), style="dim"), id="command")
            yield Static(Text("y  yes      n  no", style="bold"))

    def action_answer(self, is_yes: bool) -> None:
        self.dismiss(is_yes)


class Reading(ModalScreen[None]):
    """Text to read, which may change while it is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,d,question_mark,enter", "app.pop_screen", "Back")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="reading"):
            yield Static(Text(printable_lines(self._text)), id="text")

    def show(self, text: str) -> None:
        """Another text from now on."""
        self._text = text
        if self.is_mounted:
            self.query_one("#text", Static).update(Text(printable_lines(text)))
