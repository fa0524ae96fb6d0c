"""What the master answers to each control method. Runs in the master."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from consumerd import clock
from consumerd.errors import UsageError
from consumerd.master.control.broadcast import Broadcast, Wish
from consumerd.master.control.operations import Operations
from consumerd.master.control.reloading import Reloading
from consumerd.master.control.server import BY, Answer
from consumerd.master.control.status import status
from consumerd.master.control.unrun import unrun
from consumerd.master.helper import StoreHelper
from consumerd.master.pools.pools import Pools
from consumerd.master.supervisor import Supervisor
from consumerd.model.slots import LOOPING
from consumerd.wire.control import METHODS
from consumerd.wire.messages import Wake
from consumerd.wire.plain import plain_value, real_value

PARKED = "parked."


@dataclass(frozen=True)
class Answers:
    """config: what is run, as it was named; started_at: wall time."""

    pools: Pools
    supervisor: Supervisor
    helper: StoreHelper
    operations: Operations
    reloading: Reloading
    broadcast: Broadcast
    config: str
    started_at: float

    def table(self) -> dict[str, Answer]:
        """One answer for each method."""
        parked = {f"{PARKED}{verb}": self._parked(verb) for verb in ("list", "show", "retry", "discard")}
        return {
            "status": self._status,
            "stop": self._stop,
            "scale": self._scale,
            "pause": self._pause(is_paused=True),
            "resume": self._pause(is_paused=False),
            "restart": self._restart,
            "reload": self._reload,
            "cancel": self._cancel,
            "wake": self._wake,
            "events": self._events,
            **parked,
        }

    async def _status(self, params: Mapping[str, object]) -> AsyncIterator[str]:
        del params
        found = status(
            self.pools,
            config=self.config,
            started_at=self.started_at,
            disabled=self.operations.disabled,
            paused=self.operations.paused,
            stop_deadline=self.supervisor.stop_deadline,
        )
        yield _json(msgspec.to_builtins(found))

    async def _stop(self, params: Mapping[str, object]) -> AsyncIterator[str]:
        """The master closes the connection when it ends."""
        del params
        deadline = self.supervisor.stop("asked by consumerd stop")
        yield _json({"ends_in_s": round(max(0.0, deadline - clock.monotonic()), 3)})

    async def _scale(self, params: Mapping[str, object]) -> AsyncIterator[str]:
        """Without `workers`, the number is the configuration's again."""
        workers = params.get("workers")
        assert workers is None or isinstance(workers, int)
        yield _json(self.operations.scale(str(params["target"]), workers))

    def _pause(self, *, is_paused: bool) -> Answer:
        async def answer(params: Mapping[str, object]) -> AsyncIterator[str]:
            yield _json(self.operations.pause(str(params["target"]), is_paused=is_paused, by=str(params[BY])))

        return answer

    async def _restart(self, params: Mapping[str, object]) -> AsyncIterator[str]:
        yield _json(self.operations.restart(str(params["target"])))

    async def _reload(self, params: Mapping[str, object]) -> AsyncIterator[str]:
        yield _json(await self.reloading.reload(is_dry=bool(params.get("dry_run"))))

    async def _cancel(self, params: Mapping[str, object]) -> AsyncIterator[str]:
        yield _json(self.operations.cancel(str(params["task"]), does_park=bool(params.get("park"))))

    async def _wake(self, params: Mapping[str, object]) -> AsyncIterator[str]:
        target = params.get("target")
        yield _json({"workers": self._wake_workers(target if isinstance(target, str) else None)})

    async def _events(self, params: Mapping[str, object]) -> AsyncIterator[str]:
        """Facts as the master knows them, and stderr lines. What comes of pools that are added later is wanted too."""
        target, recent = params.get("target"), params.get("recent", 0)
        assert isinstance(recent, int)
        if isinstance(target, str):
            self.operations.matching(target)
        wish = Wish(
            wants=(lambda name: name.matches(target)) if isinstance(target, str) else None,
            recent=max(0, recent),
            with_stderr=bool(params.get("stderr")),
            is_following=bool(params.get("follow", True)),
        )
        async with aclosing(self.broadcast.follow(wish)) as items:  # type: ignore[type-var]  # an async generator
            async for item in items:
                yield item

    def _parked(self, verb: str) -> Answer:
        async def answer(params: Mapping[str, object]) -> AsyncIterator[str]:
            """`{"items": […]}`, page by page; after a retry the workers look at the store at once."""
            arguments = real_value({name: value for name, value in params.items() if name != BY})
            assert isinstance(arguments, dict)
            if METHODS[f"{PARKED}{verb}"].is_act:
                arguments["consumers"] = [*(pool.consumer for pool in self.pools), *map(str, self.operations.disabled)]
            if verb == "retry":
                await self._check_retried(arguments)
            separator = '{"items":['
            async for page in self.helper.ask(verb, arguments):
                if not page:
                    yield " "  # a step that found nothing: whoever waits sees that it goes on
                for item in page:
                    yield separator + _json(item)
                    separator = ","
            yield "]}" if separator == "," else separator + "]}"
            if verb == "retry":
                self._wake_workers(None)

        return answer

    async def _check_retried(self, arguments: dict[str, object]) -> None:
        """UsageError where one of the tasks that are asked for is of a pool that would not run it."""
        why = unrun(self.pools, self.operations.disabled)
        if not why:
            return
        async for page in self.helper.ask("retry", {**arguments, "dry_run": True}):
            for item in page:
                if not item["is_left"] and item["tasks"] and str(item["consumer"]) in why:
                    raise UsageError(f"nothing is retried: {why[str(item['consumer'])]}")

    def _wake_workers(self, target: str | None) -> int:
        """Have running workers look at the parking store; how many."""
        woken = 0
        for pool in self.pools:
            if target is not None and not pool.name.matches(target):
                continue
            for slot in pool.workers:
                if pool.observed.slots[slot].state in LOOPING:
                    pool.send(slot, Wake())
                    woken += 1
        return woken


def _json(value: object) -> str:
    return json.dumps(plain_value(value), separators=(",", ":"), default=str)
