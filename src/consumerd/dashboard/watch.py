"""What the master said last, for all browsers. It is asked once a second while somebody looks, else every ten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from consumerd.clock import SYSTEM_CLOCK, Clock
from consumerd.dashboard.bugs import reported
from consumerd.dashboard.threads import Threads
from consumerd.errors import ConsumerdError
from consumerd.wire.metrics import Metrics

LOOKED_AT_EVERY_S = 1.0
ALONE_EVERY_S = 10.0
FRESH_S = 0.9
"""Whoever asks within so long gets the same: nobody who asks often is a load to the master."""

APART_S = 2.0
"""What rates and findings compare the last answer with is so old, or twice as old."""

SHARE = 50
"""While somebody looks, the master is left alone for so many times as long as it took to answer."""

LONGEST_S = 5.0

SILENT_S = 2.5
"""A master that does not answer for so long is told of, before the question fails."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known at a moment. `number` is another one whenever anything of it is.

    metrics: as the master answered last, None where it never has; before: as it answered `apart_s` seconds earlier.
    at: of that answer, on the wall clock.
    error: why it does not answer now, as a sentence; empty while it does.
    trouble: why what it answers is not kept, likewise.
    """

    number: int = 0
    metrics: Metrics | None = None
    before: Metrics | None = None
    apart_s: float = 0.0
    at: float = 0.0
    error: str = ""
    trouble: str = ""


class Watch:
    """Asks, for as long as `run` runs. All but `ask` in the event loop's thread.

    ask: what the master answers to `metrics`; in a thread of its own. told: is given each answer, and the time of it.
    """

    def __init__(
        self,
        ask: Callable[[], Metrics],
        told: Callable[[Metrics, float], object] = lambda metrics, at: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._ask = ask
        self._told = told
        self._clock = clock
        self._thread = Threads("questions wait for the master", 1, 20)
        self._seen = Seen()
        self._changed = asyncio.Condition()
        self._turn = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._asked_at = float("-inf")
        self._before: tuple[Metrics | None, float] = (None, 0.0)
        self._candidate: tuple[Metrics | None, float] = (None, 0.0)
        self._answered_at = clock.monotonic()
        self._took_s = 0.0
        self._looking = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._look_again()
            pause_s = self._pace_s() if self._looking else ALONE_EVERY_S
            self._wanted.clear()
            try:
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    def ask_again(self) -> None:
        """Something was changed: what is known is old."""
        self._asked_at = float("-inf")
        self._wanted.set()

    def why_old(self) -> str:
        """Why what is known is old, as a sentence; empty where it is not."""
        silent_s = self._clock.monotonic() - self._answered_at
        if self._seen.error or silent_s < self._pace_s() + SILENT_S:
            return self._seen.error
        return f"the master has not answered for {silent_s:.0f} s"

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Somebody looks, as long as this lasts."""
        self._looking += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._looking -= 1

    async def fresh(self) -> Seen:
        """What is known now, asked anew unless that has just been done."""
        await self._look_again()
        return self._seen

    async def after(self, number: int, timeout_s: float) -> Seen:
        """What is known once it is something else than `number`, or when so long has passed."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._seen.number != number)
        except TimeoutError:
            pass
        return self._seen

    def _pace_s(self) -> float:
        return min(LONGEST_S, max(LOOKED_AT_EVERY_S, SHARE * self._took_s))

    async def _look_again(self) -> None:
        """Ask, unless somebody has just done so."""
        async with self._turn:
            began = self._clock.monotonic()
            if began - self._asked_at < FRESH_S:
                return
            self._asked_at = began
            try:
                metrics = await self._thread.run(self._ask)
            except ConsumerdError as error:
                self._seen = replace(self._seen, number=self._seen.number + 1, error=str(error))
            except Exception as error:  # noqa: BLE001 - who looks is told, the log has it, and it is asked again
                bug = reported(error, self._seen.error)
                self._seen = replace(self._seen, number=self._seen.number + 1, error=bug)
            else:
                self._answered_at = self._clock.monotonic()
                self._took_s = self._answered_at - began
                self._keep(metrics, began)
        async with self._changed:
            self._changed.notify_all()

    def _keep(self, metrics: Metrics, now: float) -> None:
        at, candidate = self._clock.wall(), self._candidate
        if candidate[0] is None or now - candidate[1] >= APART_S:
            self._before, self._candidate = candidate, (metrics, now)
        before, before_at = self._before if self._before[0] is not None else candidate
        trouble = self._note(metrics, at)
        self._seen = Seen(self._seen.number + 1, metrics, before, now - before_at, at, trouble=trouble)

    def _note(self, metrics: Metrics, at: float) -> str:
        """Why it could not be told; empty where it was."""
        try:
            self._told(metrics, at)
        except Exception as error:  # noqa: BLE001 - around a listener: who looks is told, and the log has it
            return reported(error, self._seen.trouble)
        return ""
