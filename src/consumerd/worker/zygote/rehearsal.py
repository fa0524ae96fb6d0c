"""The rehearsal: a worker's first moments, played in its zygote, with nobody's tasks. Runs in zygotes.

The interpreter rewrites code for the types that run through it, and remembers what it has looked up. A worker that has
to teach it that again writes to a hundred pages that it would otherwise share, and each is copied at once (ADR 40).
Nothing of the user's runs here, nothing is asked of the parking store, nothing is told, and nothing that was opened
stays open.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace

from consumerd.clock import SYSTEM_CLOCK
from consumerd.model.contract import default_hook
from consumerd.parking.memory import MemoryStore
from consumerd.sources.memory import MemoryOptions, MemorySource
from consumerd.wire.board import Board
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Fork, Ready
from consumerd.worker.master_link import MasterLink
from consumerd.worker.process import worker_context
from consumerd.worker.runtime import Runtime
from consumerd.worker.template import Template

TIMES = 10
"""The interpreter rewrites code that has run eight times."""

TURNS = 3
FORK = Fork(slot=0, generation=0, workers=1)


class _Nobody:
    """A consumer as a worker knows it, in the user's place."""

    RETRY_BASIC_INTERVAL = 0.1
    reload_interval = 300.0
    number_of_consumed = 0
    consume_client: object = None

    @default_hook
    def pre_consume(self) -> None: ...

    post_consume = pre_handle_task = post_handle_task = reload_config = can_stop_consume = pre_consume

    def handle_task(self, offset: int, record: object) -> None: ...


def rehearse(template: Template) -> None:
    """Play it, as often as it takes. template: of the workers that are to be forked."""
    board = Board.private()
    for _ in range(TIMES):
        with contextlib.ExitStack() as stage:
            _play(template, board, stage)


def _play(template: Template, board: Board, stage: contextlib.ExitStack) -> None:
    ours, masters = socket.socketpair()
    stage.enter_context(masters)
    link = MasterLink(stage.enter_context(contextlib.closing(Channel(ours))))
    context = replace(worker_context(template, FORK, board, link), options=MemoryOptions(), emit=lambda fact: None)
    stage.callback(context.interrupts.close)
    runtime = Runtime(context, _Nobody(), MemorySource(), MemoryStore(SYSTEM_CLOCK).as_thread(), link)
    loop = runtime.open()
    link.tell(Ready())
    for _ in range(TURNS):
        loop.turn()
    loop.finish()
    runtime.shut()
