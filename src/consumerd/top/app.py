"""The application of `consumerd top`: it asks the master once a second, and does what keys say.

What waits for the master runs in threads beside it, so that a master that does not answer holds up no key.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable

from consumerd import clock
from consumerd.cli.doctor import found_at, lines_of
from consumerd.cli.lines import printable, printable_lines
from consumerd.errors import ConsumerdError
from consumerd.master.host.memory import own_bytes
from consumerd.state.state_dir import StateDirectory
from consumerd.top import acts
from consumerd.top.acts import Offer, Refusal
from consumerd.top.model import with_memory
from consumerd.top.screens import PoolScreen, PoolsScreen, Seen
from consumerd.top.widgets import HELP, Question, Reading
from consumerd.verbs.status import ShowStatus
from consumerd.wire.method import ask
from consumerd.wire.status import PoolStatus, Status

EVERY_S = 1.0
PAUSE_FOR_LOOK, LONGEST_PAUSE_S = 9, 5.0
"""So many times as long as a look has taken it is waited for the next one: thousands of workers take a while to tell,
and the master has other things to do.
"""


class Looked(Message):
    """The master has answered; or why it has not."""

    def __init__(self, found: Status | str, at: float) -> None:
        super().__init__()
        self.found = found
        self.at = at


class Done(Message):
    """Something that was asked for has come to its end: `then` is told of it, in the application's own thread."""

    def __init__(self, said: str, then: Callable[[str], object]) -> None:
        super().__init__()
        self.said = said
        self.then = then


class Top(App[None]):
    """Runs until q."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "consumerd top"
    CSS = """
    #title { height: 1; text-style: bold; }
    #problems { height: auto; max-height: 8; margin-bottom: 1; }
    #pools { height: 1fr; }
    #head { height: auto; }
    #workers { height: auto; max-height: 50%; min-height: 3; }
    #recent { height: 1fr; min-height: 3; }
    #end { height: auto; max-height: 5; margin: 1 0; color: $text-warning; }
    Table { overflow-x: hidden; }
    Question, Reading { align: center middle; }
    #dialog { width: 72; max-width: 95%; height: auto; border: round $primary; padding: 1 2; background: $surface; }
    #command { margin: 1 0; }
    #reading { width: 96; max-width: 95%; height: auto; max-height: 90%; border: round $primary; padding: 0 2; }
    #text { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("plus,equals_sign", "act('more')", "More", key_display="+"),
        Binding("minus", "act('fewer')", "Fewer", key_display="-"),
        Binding("a", "act('automatic')", "Auto", show=False),
        Binding("p", "act('pause')", "Pause"),
        Binding("r", "act('restart')", "Restart"),
        Binding("t", "retry", "Retry parked"),
        Binding("d", "doctor", "Doctor"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, state_dir: StateDirectory, *, opened: str | None = None) -> None:
        """opened: the pool that is shown first, by its full name."""
        super().__init__()
        self.seen = Seen()
        self._state_dir = state_dir
        self._opened = opened
        self._has_ended = Event()

    def on_mount(self) -> None:
        self.push_screen(PoolsScreen(self.seen))
        if self._opened is not None:
            self.push_screen(PoolScreen(self.seen, self._opened))
        Thread(target=self._keep_looking, name="looks", daemon=True).start()

    def on_unmount(self) -> None:
        self._has_ended.set()

    # The master, in threads of its own

    def _keep_looking(self) -> None:
        while not self._has_ended.is_set():
            began = clock.monotonic()
            self.post_message(Looked(self._look(), began))
            took_s = clock.monotonic() - began
            self._has_ended.wait(max(EVERY_S - took_s, min(PAUSE_FOR_LOOK * took_s, LONGEST_PAUSE_S)))

    def _look(self) -> Status | str:
        screen = self._at_bottom()
        workers_of = screen.name_of_pool if isinstance(screen, PoolScreen) else ""
        asked = ShowStatus(tasks=True, recent=True, workers_of=workers_of)
        try:
            return with_memory(ask(self._state_dir.control_socket, asked), own_bytes)
        except ConsumerdError as error:
            return str(error)

    def _do(self, work: Callable[[], str], then: Callable[[str], object]) -> None:
        """In a thread of its own; what comes of it, or why it failed, is told to `then`."""

        def run() -> None:
            try:
                said = work()
            except ConsumerdError as error:
                said = str(error)
            self.post_message(Done(said, then))

        Thread(target=run, name="work", daemon=True).start()

    def on_looked(self, looked: Looked) -> None:
        if isinstance(looked.found, str):
            self.seen.away = looked.found
        else:
            self.seen.status, self.seen.away = looked.found, ""
            self.seen.history.add(looked.found, looked.at)
        screen = self._at_bottom()
        if screen is not None:
            screen.show()

    def on_done(self, done: Done) -> None:
        done.then(done.said)

    def _at_bottom(self) -> PoolsScreen | PoolScreen | None:
        """The screen that is under what lies over it."""
        found = [screen for screen in self.screen_stack if isinstance(screen, PoolsScreen | PoolScreen)]
        return found[-1] if found else None

    # Keys

    @property
    def _pool(self) -> PoolStatus | None:
        screen = self._at_bottom()
        return None if screen is None else screen.pool

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        if event.data_table.id == "pools" and event.row_key.value is not None:
            self.push_screen(PoolScreen(self.seen, event.row_key.value))

    def action_act(self, name: str) -> None:
        if self._pool is not None:
            self._offer(acts.OF_POOLS[name](self._pool))

    def action_retry(self) -> None:
        if self._pool is not None:
            self._offer(acts.retried(self._pool, clock.wall()))

    def action_cancel_task(self) -> None:
        screen = self._at_bottom()
        if isinstance(screen, PoolScreen) and screen.pool is not None:
            self._offer(acts.cancelled(screen.pool, screen.worker))

    def _offer(self, offer: Offer) -> None:
        """Ask, and do it where the answer is yes."""
        if isinstance(self.screen, Question | Reading):
            return
        if isinstance(offer, Refusal):
            self.notify(printable(offer.why), markup=False)
            return

        def answered(is_yes: bool | None) -> None:
            if is_yes:
                self._do(lambda: acts.perform(self._state_dir, offer), self._tell)

        self.push_screen(Question(offer), answered)

    def _tell(self, said: str) -> None:
        self.notify(printable_lines(said), markup=False)

    def action_doctor(self) -> None:
        if isinstance(self.screen, Question | Reading):
            return
        reading = Reading("The master is looked at twice, two seconds apart …")
        self.push_screen(reading)
        self._do(lambda: "\n".join(lines_of(found_at(self._state_dir, None))), reading.show)

    def action_help(self) -> None:
        if not isinstance(self.screen, Question | Reading):
            self.push_screen(Reading(HELP))
