"""What runs several attempts at once: threads, or one event loop. Runs in workers and the foreground.

The loop's thread starts attempts and takes what has ended; it alone judges, settles and parks.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from types import CodeType
from typing import Any, Protocol

from consumerd.wire.board_writer import LaneWriter
from consumerd.worker.attempts.attempt import Attempt
from consumerd.worker.attempts.forked_child import leave_if_child
from consumerd.worker.attempts.interruption import ThreadGuard
from consumerd.worker.attempts.maker import AttemptMaker
from consumerd.worker.tasks.interrupts import Interrupts
from consumerd.worker.tasks.running import RUNNING
from consumerd.worker.window.in_hand import InHand

OnEnded = Callable[[Sequence[InHand]], bool]
"""Is told of the tasks whose attempts have ended, together as far as they have; whether `wait` is to return."""


class Lanes(Protocol):
    """Makes attempts, as many at once as there are lanes. `on_ended` is called in the loop's thread, within `wait`."""

    on_ended: OnEnded

    @property
    def width(self) -> int:
        """How many attempts it makes at once, by now."""

    @property
    def room(self) -> int:
        """How many more tasks it can be given."""

    def start(self, task: InHand) -> None:
        """Make an attempt at this task."""

    def take_back(self) -> list[InHand]:
        """Those that were given, and at which no attempt has begun."""

    def wait(self, seconds: float) -> None:
        """Wait for what ends, or for an interrupt, at most so long."""

    def close(self) -> None:
        """No further attempt is made."""


class ThreadLanes:
    """A thread for each attempt that runs at the same time, begun when it is first needed.

    Further tasks wait in a queue, so that a thread that has ended one finds the next.
    """

    def __init__(
        self,
        maker_of: Callable[[ThreadGuard], AttemptMaker],
        interrupts: Interrupts,
        lanes: Sequence[LaneWriter],
        codes: Collection[CodeType],
        *,
        ahead: int,
    ) -> None:
        """maker_of: makes attempts in one thread, whose guard calls the handler. codes: as `ThreadGuard` has them.

        ahead: how many tasks may wait in the queue.
        """
        self.on_ended: OnEnded = lambda tasks: True
        self.guards: dict[int, ThreadGuard] = {}
        self._maker_of = maker_of
        self._codes = codes
        self._interrupts = interrupts
        self.width = len(lanes)
        self._lanes = lanes
        self._ahead = ahead
        self._work: SimpleQueue[InHand | None] = SimpleQueue()
        self._ended: deque[InHand] = deque()
        self._threads: list[threading.Thread] = []
        self._given = 0
        self._is_waiting = False
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    @property
    def room(self) -> int:
        return len(self._lanes) + self._ahead - self._given

    def start(self, task: InHand) -> None:
        self._given += 1
        if len(self._threads) < min(self._given, len(self._lanes)):
            self._begin_thread()
        self._work.put(task)

    def take_back(self) -> list[InHand]:
        taken = []
        with suppress(Empty):
            while (task := self._work.get_nowait()) is not None:
                taken.append(task)
        self._given -= len(taken)
        return taken

    def wait(self, seconds: float) -> None:
        if not self._given:
            self._interrupts.wait(seconds)
        elif not self._ended and seconds > 0:
            self._is_waiting = True
            if not self._ended:  # what ends from here on wakes
                self._interrupts.wait_for(self._wake_fd, seconds)
            self._is_waiting = False
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake_fd)
        while self._ended:
            ended = [self._ended.popleft() for _ in range(len(self._ended))]
            self._given -= len(ended)
            self.on_ended(ended)

    def close(self) -> None:
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()
        os.close(self._wake_fd)

    def _begin_thread(self) -> None:
        """Where the system refuses a thread, those that are there do it."""
        lane = self._lanes[len(self._threads)]
        guard = self.guards[lane.number] = ThreadGuard(lane, self._codes)
        name, arguments = f"lane-{lane.number}", (lane, self._maker_of(guard))
        thread = threading.Thread(target=self._run, args=arguments, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def _run(self, lane: LaneWriter, maker: AttemptMaker) -> None:
        while (task := self._work.get()) is not None:
            task.lane, task.thread = lane, threading.get_ident()
            lane.run(task.task)
            RUNNING.set(task)
            try:
                task.ended = maker.make_whole(task.attempt)
            except BaseException as error:  # noqa: BLE001 - the top of a thread: the loop raises it
                task.error = error
            leave_if_child()
            RUNNING.set(None)
            lane.rest()
            self._ended.append(task)
            if self._is_waiting:
                os.eventfd_write(self._wake_fd, 1)


class EventLoopLanes:
    """One event loop in the loop's own thread, which runs while the loop waits for something to end."""

    def __init__(
        self,
        maker: AttemptMaker,
        interrupts: Interrupts,
        lanes: Sequence[LaneWriter],
        get_loop: Callable[[], asyncio.AbstractEventLoop],
        *,
        ahead: int,
    ) -> None:
        """get_loop: the consumer's event loop; whoever made it closes it. ahead: how many tasks may wait for a lane."""
        self.on_ended: OnEnded = lambda tasks: True
        self._maker = maker
        self._interrupts = interrupts
        self.width = len(lanes)
        self._free = list(reversed(lanes))
        self._ahead = ahead
        self._work: deque[InHand] = deque()
        self._loop = get_loop()
        self._context = copy_context()  # of each task, as `pre_consume` has left it: none sees what another has set
        self._ended: list[InHand] = []
        self._error: BaseException | None = None
        self.coroutines: dict[int, asyncio.Task[Any]] = {}  # by lane: the event loop itself holds them weakly

    @property
    def room(self) -> int:
        return len(self._free) + self._ahead - len(self._work)

    def start(self, task: InHand) -> None:
        self._work.append(task)
        if self._free:
            self._begin_next()

    def take_back(self) -> list[InHand]:
        taken = [*self._work]
        self._work.clear()
        return taken

    def wait(self, seconds: float) -> None:
        while self._work and self._free:
            self._begin_next()  # an interrupt has kept it from that
        if not (self.coroutines or self._ended):
            self._interrupts.wait(seconds)
        elif seconds <= 0 or self._interrupts.are_set():
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()
        else:
            self._loop.add_reader(self._interrupts.fileno(), self._look_up)
            at_last = self._loop.call_later(seconds, self._loop.stop)
            try:
                self._loop.run_forever()
            finally:
                at_last.cancel()
                self._loop.remove_reader(self._interrupts.fileno())
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Whoever made the event loop closes it."""

    def _look_up(self) -> None:
        self._interrupts.calm()
        self._loop.stop()

    def _begin_next(self) -> None:
        task = self._work.popleft()
        attempt = task.attempt
        task.lane = lane = self._free.pop()
        lane.run(attempt.task)
        self.coroutines[lane.number] = self._loop.create_task(self._run(task, attempt), context=self._context.copy())

    async def _run(self, task: InHand, attempt: Attempt) -> None:
        RUNNING.set(task)
        try:
            task.ended = await self._maker.make_whole_async(attempt)
        except BaseException as error:  # noqa: BLE001 - as the top of a thread
            task.error = error
        leave_if_child()
        lane = task.lane
        lane.rest()
        self._free.append(lane)
        del self.coroutines[lane.number]
        if self._loop.is_closed():
            return  # this is how a coroutine ends for which nobody waits any more
        if self._work and not self._interrupts.are_set():
            self._begin_next()
        if not self._ended:
            tell = partial(self._loop.call_soon, self._take_ended, context=self._context)
            self._loop.call_soon(tell)  # once those that begin now wait themselves
        self._ended.append(task)

    def _take_ended(self) -> None:
        """Tell of all that has ended in a turn of the event loop."""
        ended, self._ended = self._ended, []
        try:
            is_to_look_up = self.on_ended(ended)
        except BaseException as error:  # noqa: BLE001 - as above: whoever waits raises it
            self._error, is_to_look_up = error, True
        if is_to_look_up:
            self._loop.stop()
