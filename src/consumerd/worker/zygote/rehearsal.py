"""The rehearsal: a worker's first moments, played in its zygote, with nobody's tasks. Runs in zygotes.

The interpreter rewrites code for the types that run through it, and keeps what it has looked up. A worker that has to
teach it that again writes to hundreds of pages that it would otherwise share, and each is copied at once (ADR 12).
Nothing of the user's runs here, nothing is asked of the store, and nothing that was opened stays open.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any, cast

from consumerd import events
from consumerd.clock import SYSTEM_CLOCK
from consumerd.config.common_keys import CommonKeys
from consumerd.events.log import LogListener
from consumerd.events.outlet import Outlet
from consumerd.model.contract import default_hook
from consumerd.model.shards import Shard
from consumerd.parking.thread import StoreThread
from consumerd.sources.memory import MemoryOptions, MemorySource
from consumerd.wire.board import BOARD_BYTES
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Ready
from consumerd.worker.master_link import MasterLink
from consumerd.worker.runtime import Runtime
from consumerd.worker.tasks.context import Redaction, WorkerContext, emitter
from consumerd.worker.tasks.interrupts import Interrupts, StopDeadline
from consumerd.worker.tasks.stand_in import StoreStandIn

TIMES = 10
"""The interpreter takes code for worth rewriting when it has run eight times."""

TURNS = 3


class Nobody:
    """A consumer as the worker knows one, in the user's place."""

    RETRY_BASIC_INTERVAL = 0.1
    reload_interval = 300.0
    number_of_consumed = 0
    consume_client: Any = None  # as a consumer's
    _runtime: Runtime | None = None

    @default_hook
    def pre_consume(self) -> None: ...

    @default_hook
    def post_consume(self) -> None: ...

    @default_hook
    def pre_handle_task(self) -> None: ...

    @default_hook
    def post_handle_task(self) -> None: ...

    @default_hook
    def reload_config(self) -> None: ...

    @default_hook
    def can_stop_consume(self) -> bool:
        return False

    def handle_task(self, offset: int, record: object) -> None: ...


def rehearse(common: CommonKeys) -> None:
    """Play it, as often as it takes. common: of the consumer whose workers are to be forked."""
    with contextlib.ExitStack() as stage:
        ours, masters = socket.socketpair()
        stage.enter_context(masters)
        channel = Channel(ours)
        stage.callback(channel.close)
        interrupts = Interrupts(sleep=lambda seconds: None)
        stage.callback(interrupts.close)
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        stage.callback(os.close, nowhere)
        outlet = Outlet(nowhere, patience_s=0.0)
        stage.callback(outlet.close)
        words = memoryview(bytearray(BOARD_BYTES)).cast("Q")
        for _ in range(TIMES):
            _play(common, words, channel, interrupts, outlet)


def _play(common: CommonKeys, words: memoryview, channel: Channel, interrupts: Interrupts, outlet: Outlet) -> None:
    link, redact = MasterLink(channel), Redaction()
    log = LogListener(outlet, repr)
    emit = emitter(redact, log.bound_to({"worker_id": 0}), link.listen)
    context = WorkerContext(
        name="nobody",
        shard=Shard(0, 1),
        member="nobody.0",
        lease_owner="nobody.0#0",
        common=common,
        options=MemoryOptions(count=TURNS),
        interrupts=interrupts,
        words=words,
        deadline=StopDeadline(0.0),
        emit=emit,
        redact=redact,
    )
    runtime = Runtime(context, Nobody(), MemorySource(), cast("StoreThread", StoreStandIn()), link)
    loop = runtime.open()
    link.tell(Ready())
    for _ in range(TURNS):
        loop.turn()
    emit(events.worker_drained(end="drained", handled=TURNS))
    loop.drain(SYSTEM_CLOCK.monotonic())
    interrupts.take()
