"""`python -m consumerd.limits.helper FD`: what limits need of databases, in a process of its own.

The master speaks no SQL. It executes this one while a limit has its numbers in a database of the user's, or is shared
with other hosts by the parking store. The helper gives rows of the shared table their numbers, and holds up no task:
who starts one looks at the table. Where it dies, what it gave holds until the lease of this host is over, and the
master executes another one.

Two threads use the table, one at a time: the main one gives what was read, and the other shares limits.
"""

from __future__ import annotations

import os
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from consumerd import events
from consumerd.clock import SYSTEM_CLOCK, monotonic
from consumerd.config.shape import LimitSettings, Settings
from consumerd.errors import ConsumerdError, StoreAwayError
from consumerd.events.facts import Fact, Listener
from consumerd.limits.helped import USED_S, HelpedLimit, TakenOverError
from consumerd.limits.numbers import NumbersOfKeys, keep_reading, read_by
from consumerd.parking.opening import open_store, parking_url, resolve_parking
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import first_message, ignore_signals, inherited_channel
from consumerd.wire.limits import held_of
from consumerd.wire.messages import HelpLimits, Reported
from consumerd.wire.shared_table import SharedTable

BUSY_S = 0.05
"""So often it looks at the table: a task of a new key may wait for its numbers."""

PART_OF_TIME = 10
LONGEST_REST_S = 0.25
"""It rests for so many times as long as its look takes, which is at a full table perhaps; but not for longer."""

LEAVE_S = 2.0

AWAY_S = 5.0
"""The store is away that has not answered for so long."""


def rest_after(took_s: float) -> float:
    return min(LONGEST_REST_S, max(BUSY_S, PART_OF_TIME * took_s))


class Sharing:
    """The thread that shares limits with other hosts."""

    def __init__(self, found: Sequence[HelpedLimit], asked: HelpLimits, parking: str | None, emit: Listener) -> None:
        """parking: resolved."""
        self._limits = found
        self._host, self._token = asked.host, uuid.uuid4().hex
        self._open = partial(open_store, parking, Path(asked.state_dir), is_kept=True)
        self._emit = emit
        self._good_at = monotonic()
        self._error = f"the parking store has not answered for {AWAY_S:g} s: see what its database does"
        self._is_away = False
        self._hosts = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consumerd-sharing", daemon=True)

    def start(self) -> None:
        if self._limits:
            self._thread.start()

    def look_after(self) -> None:
        """Say that the store is away, once; asked by another thread, for this one may wait for an answer."""
        silent_s = monotonic() - self._good_at
        if self._limits and not self._thread.is_alive():
            raise ConsumerdError("the thread that shares limits has died")
        if self._limits and silent_s > AWAY_S and not self._is_away:
            self._is_away = True
            left_s = round(max(0.0, USED_S - silent_s), 1)
            self._emit(events.limits_unshared(error=self._error, starts_end_in_s=left_s))

    @property
    def is_held(self) -> bool:
        """Whether tasks run here under any of the limits."""
        return any(held_of(row)[0] for limit in self._limits for row in limit.rows().values())

    def leave(self) -> None:
        """No task runs here any more: give up what this host has, if that can be done soon."""
        if self._limits:
            self._stop.set()
            self._thread.join(LEAVE_S)

    def _run(self) -> None:
        with closing(self._open()) as store:
            rest_s = BUSY_S
            while not self._stop.wait(rest_s):
                began = monotonic()
                for limit in self._limits:
                    self._turn(limit, store.change_shares)
                rest_s = 1.0 if self._is_away else rest_after(monotonic() - began)
            with suppress(StoreAwayError):
                for limit in self._limits:
                    limit.leave(store.change_shares, self._host, self._token)

    def _turn(self, limit: HelpedLimit, change: Callable[..., str]) -> None:
        rows = limit.rows()
        if not limit.is_due(rows):
            limit.tell(rows)
            return
        try:
            limit.look(change, self._host, self._token)
        except StoreAwayError as error:
            self._error = str(error)
        except TakenOverError:
            os._exit(0)  # another helper of this host does all this now
        else:
            self._note(max(limit.hosts for limit in self._limits))

    def _note(self, hosts: int) -> None:
        self._good_at = monotonic()
        if self._is_away or hosts != self._hosts:
            self._emit(events.limits_shared(hosts=hosts))
        self._is_away, self._hosts = False, hosts


class Helper:
    """The limits of a configuration that need help, until the master is gone or says `Leave`."""

    def __init__(self, asked: HelpLimits, table_fd: int, channel: Channel) -> None:
        self._channel = channel
        self._table = SharedTable(table_fd)
        self._facts: SimpleQueue[Fact] = SimpleQueue()
        settings, directory = Settings.model_validate_json(asked.settings), Path(asked.directory)
        parking, _ = resolve_parking(settings.parking, os.environ, directory)
        is_server = parking_url(parking, Path(asked.state_dir)).get_backend_name() != "sqlite"
        shared, self._own, turn = list[HelpedLimit](), list[HelpedLimit](), threading.Lock()
        for name, limit in settings.limits.items():
            if not (limit.numbers or settings.is_shared(limit)):
                continue
            helped = HelpedLimit(name, limit.fixed, self._numbers(name, limit, directory), self._table, turn)
            (shared if is_server and settings.is_shared(limit) else self._own).append(helped)
        for helped in self._own:
            helped.unshare()
        self._sharing = Sharing(shared, asked, parking, lambda fact: self._facts.put(fact))
        self._longest_stop_s = asked.longest_stop_s

    def run(self) -> None:
        """ConnectionResetError, or another OSError, where the master is gone: what we have, we have until it lapses."""
        self._sharing.start()
        rest_s = BUSY_S
        while not self._must_leave(rest_s):
            began = monotonic()
            for limit in self._own:
                limit.tell(limit.rows())
            rest_s = rest_after(monotonic() - began) if self._own else LONGEST_REST_S
            self._sharing.look_after()
            self._report()
        self._sharing.leave()

    def stay(self) -> None:
        """The master is gone, and its workers end their tasks: keep the part of these, so that no other host has it."""
        deadline = monotonic() + self._longest_stop_s
        while (is_held := self._sharing.is_held) and monotonic() < deadline:
            SYSTEM_CLOCK.sleep(BUSY_S)
        if not is_held:
            self._sharing.leave()

    def _must_leave(self, within_s: float) -> bool:
        try:
            received = self._channel.receive(within_s)
        except TimeoutError:
            return False
        if received is None:
            raise ConnectionResetError("the master is gone")
        return True

    def _report(self) -> None:
        with suppress(Empty):
            while True:
                fact = self._facts.get_nowait()
                self._channel.send(Reported(fact.name, fact.level.value, fact.fields))

    def _numbers(self, name: str, limit: LimitSettings, directory: Path) -> NumbersOfKeys | None:
        if limit.numbers is None:
            return None
        read, redactor = read_by(limit.numbers, directory)

        def emit(fact: Fact) -> None:
            shown = {
                key: redactor.redact(value) if isinstance(value, str) else value for key, value in fact.fields.items()
            }
            self._facts.put(replace(fact, fields=shown))

        numbers = NumbersOfKeys(name, limit.fixed, emit, read)
        keep_reading(numbers, limit.numbers.every)
        return numbers


def main(arguments: list[str]) -> int:
    """The top of the helper."""
    ignore_signals()
    try:
        with closing(inherited_channel(arguments)) as channel:
            asked, (table_fd,) = first_message(channel, HelpLimits)
            helper = Helper(asked, table_fd, channel)
            try:
                helper.run()
            except (BrokenPipeError, ConnectionResetError):
                helper.stay()
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        return 0  # the master is gone
    except ConsumerdError as error:
        sys.stderr.write(f"consumerd: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
