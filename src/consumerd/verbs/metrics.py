"""`consumerd metrics`: all numbers, as a server of metrics reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from consumerd.cli.verb import Verb, command_of
from consumerd.errors import MissingExtraError
from consumerd.wire.metrics import Metrics

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls


class ShowMetrics(Verb, frozen=True):
    """Print all numbers in the OpenMetrics format, once.

    The numbers are of the pools as a whole, since the master started; what a worker had counted is kept when it dies.
    """

    name, result = "metrics", Metrics

    async def answer(self, master: Controls, by: str) -> Metrics:
        return master.metrics()

    def lines(self, answer: Metrics) -> Iterator[str]:
        try:
            from consumerd.metrics.exposition import text
        except ImportError as error:
            raise MissingExtraError("The text of metrics", "metrics") from error
        yield from text(answer).splitlines()


command = command_of(ShowMetrics)
