"""`consumerd stacks WORKER`: what the threads of a worker do now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec

from consumerd.cli.lines import printable
from consumerd.cli.verb import Verb, command_of
from consumerd.wire.method import parameter

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls


class WorkerStacks(msgspec.Struct, frozen=True):
    """A worker, and the stacks of all its threads, the innermost call first."""

    worker: str
    stacks: str


class Stacks(Verb, frozen=True):
    """Show what the threads of a worker do now: the stack of each, the innermost call first.

    WORKER is group/name#NUMBER. The worker goes on meanwhile; also one that hangs in C code answers.
    """

    name, result = "stacks", WorkerStacks
    worker: Annotated[str, parameter("group/name#NUMBER: see consumerd status --workers.", "WORKER")]

    async def answer(self, master: Controls, by: str) -> WorkerStacks:
        return WorkerStacks(self.worker, await master.stacks(self.worker))

    def lines(self, answer: WorkerStacks) -> Iterator[str]:
        return map(printable, answer.stacks.splitlines())


command = command_of(Stacks)
