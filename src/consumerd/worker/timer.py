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
from consumerd.standard_streams import STDERR, discard, say
from consumerd.wire.board import BUSY_SINCE_NS, LANES_AT
from consumerd.wire.messages import Amend, CancelTask, Measure, Message, Pause, Stop, Suspects, Wake
from consumerd.worker.attempt_limits import AttemptLimits
from consumerd.worker.master_link import MasterLink
from consumerd.worker.tasks import threads
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.interrupts import Interrupt


class Timer:
    """The thread. `link` is None in the foreground, where there is no master to watch."""

    def __init__(self, context: WorkerContext, link: MasterLink | None = None) -> None:
        self._interrupts = context.interrupts
        self._words = context.words
        self._deadline = context.deadline
        self._link = link
        settle_interval_s = context.common.settle_interval
        self._settle_interval_ns = int(settle_interval_s * 1e9)
        self._limits = AttemptLimits(context)
        self._beat_s = min(self._limits.look_every_s, settle_interval_s)
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
        assert self._link is not None
        match message:
            case Stop(deadline_s, is_last):
                self._deadline.is_last = is_last
                self._interrupts.set(Interrupt.STOP)
                self._deadline.start(deadline_s)
            case Wake():
                self._interrupts.set(Interrupt.PARKED_DUE)
            case Suspects(tasks):
                self._link.suspects.put(tasks)
            case CancelTask() as cancel:
                self._limits.cancel(cancel)
            case Amend(consumer):
                self._link.entries.put(consumer)
                self._interrupts.set(Interrupt.AMENDED)
            case Measure(is_wanted):
                self._link.measures_lag = is_wanted
            case Pause(is_paused):
                self._interrupts.is_paused = is_paused
                self._interrupts.set(Interrupt.PAUSE)
            case _:
                raise AssertionError(f"the master does not send {type(message).__name__} to a worker")

    def _beat(self) -> None:
        if self._link is not None:
            self._link.flush()
        self._limits.look()
        now = monotonic()
        at_s = self._deadline.at_s
        if at_s is not None and now >= at_s + threads.BEAT_S:
            os._exit(self._deadline.exit)  # the handler did not end in time: what is in flight comes again
        now_ns = int(now * 1e9)
        busy_since_ns = self._words[LANES_AT + BUSY_SINCE_NS]
        since_ns = max(busy_since_ns, self._settled_ns)
        if busy_since_ns and now_ns - since_ns >= self._settle_interval_ns:
            self._settled_ns = now_ns
            self._interrupts.set(Interrupt.SETTLE_DUE)
