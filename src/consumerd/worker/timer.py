"""The timer thread: watches the clock and the master, and interrupts the loop. Runs in workers and the foreground.

It does no I/O but with the master. It wakes once a second, and at once when the master speaks or dies.
"""

from __future__ import annotations

import os
import select
import threading
import traceback

from consumerd.clock import monotonic
from consumerd.model.exits import WorkerExit
from consumerd.model.interrupts import Interrupt
from consumerd.standard_streams import STDERR, discard, say
from consumerd.wire.board import BUSY_SINCE_NS
from consumerd.wire.messages import Amend, Measure, Message, Pause, Stop, Suspects, Wake
from consumerd.worker.link import MasterLink
from consumerd.worker.orders import Orders
from consumerd.worker.tasks import threads
from consumerd.worker.tasks.interrupts import Interrupts

BEAT_S = 1.0


class StopDeadline:
    """When a stop must have ended, on the monotonic clock; the earliest that was asked for counts.

    is_last: no other worker takes the slot over, as far as the master has said.
    """

    def __init__(self, stop_timeout_s: float) -> None:
        self.stop_timeout_s = stop_timeout_s
        self.at_s: float | None = None
        self.exit = WorkerExit.DEADLINE_PASSED
        self.is_last = False

    @property
    def drained(self) -> WorkerExit:
        """How a worker ends that was asked to stop and had nothing in hand."""
        return WorkerExit.MASTER_GONE if self.exit is WorkerExit.MASTER_GONE else WorkerExit.DRAINED

    def start(self, at_s: float | None = None) -> None:
        """A stop was asked for. Takes no lock: signal handlers call it."""
        wanted = at_s if at_s is not None else monotonic() + self.stop_timeout_s
        if self.at_s is None or wanted < self.at_s:
            self.at_s = wanted


class Timer:
    """The thread. `link` is None in the foreground, where there is no master to watch."""

    def __init__(
        self,
        interrupts: Interrupts,
        words: memoryview,
        deadline: StopDeadline,
        *,
        link: MasterLink | None,
        settle_interval_s: float,
        orders: Orders | None = None,
    ) -> None:
        """orders: where it puts what the master says."""
        self._interrupts = interrupts
        self._words = words
        self._deadline = deadline
        self._link = link
        self._orders = orders or Orders.of_nobody()
        self._settle_interval_ns = int(settle_interval_s * 1e9)
        self._beat_s = min(BEAT_S, settle_interval_s)
        self._closing = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run_or_end, name="timer", daemon=True)
        self._settled_ns = 0

    def start(self) -> None:
        threads.start(self._thread)

    def close(self) -> None:
        """End the thread."""
        os.eventfd_write(self._closing, 1)
        self._thread.join()
        os.close(self._closing)

    def _run_or_end(self) -> None:
        """A worker whose timer is gone would hear nothing of its master any more: it ends with it."""
        try:
            self._run()
        except Exception:  # noqa: BLE001 - the top of a thread
            say(traceback.format_exc())
            os._exit(WorkerExit.BUG)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._closing, select.POLLIN)
        if self._link is not None:
            poll.register(self._link.channel.fileno(), select.POLLIN)
        while True:
            ready = dict(poll.poll(self._beat_s * 1000))
            if self._closing in ready:
                if ready[self._closing] & select.POLLIN:
                    return
                raise OSError("a descriptor of the worker was closed by code that does not own it")
            if ready and not self._hear_master():
                assert self._link is not None
                poll.unregister(self._link.channel.fileno())
            self._beat()

    def _hear_master(self) -> bool:
        """Act on what the master says; false when it is gone."""
        assert self._link is not None
        self._link.channel.read_available()
        while (received := self._link.channel.take()) is not None:
            self._obey(received[0])
        if self._link.channel.is_at_end:
            self._deadline.exit = WorkerExit.MASTER_GONE
            discard(STDERR)  # nobody reads it any more: what a handler writes there must not fail
            self._interrupts.set(Interrupt.MASTER_GONE)  # first: once a deadline stands, the loop finds the reason
            self._deadline.start()
        return not self._link.channel.is_at_end

    def _obey(self, message: Message) -> None:
        match message:
            case Stop(deadline_s, is_last):
                self._deadline.is_last = is_last
                self._interrupts.set(Interrupt.STOP)
                self._deadline.start(deadline_s)
            case Wake():
                self._interrupts.set(Interrupt.PARKED_DUE)
            case Suspects(tasks):
                self._orders.told.put(tasks)
            case Amend(consumer):
                self._orders.amendments.put(consumer)
                self._interrupts.set(Interrupt.AMENDED)
            case Measure(is_wanted):
                self._orders.lag_duty.is_on = is_wanted
            case Pause(is_paused):
                self._interrupts.is_paused = is_paused
                self._interrupts.set(Interrupt.PAUSE)
            case _:
                raise AssertionError(f"the master does not send {type(message).__name__} to a worker")

    def _beat(self) -> None:
        if self._link is not None:
            self._link.flush()
        now = monotonic()
        at_s = self._deadline.at_s
        if at_s is not None and now >= at_s + BEAT_S:
            os._exit(self._deadline.exit)  # the handler did not end in time: what is in flight comes again
        now_ns = int(now * 1e9)
        busy_since_ns = self._words[BUSY_SINCE_NS]
        since_ns = max(busy_since_ns, self._settled_ns)
        if busy_since_ns and now_ns - since_ns >= self._settle_interval_ns:
            self._settled_ns = now_ns
            self._interrupts.set(Interrupt.SETTLE_DUE)
