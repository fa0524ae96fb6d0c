"""The broadcast: who follows gets what it wished for, in order, and holds up nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

import pytest

from consumerd.errors import ConsumerdError
from consumerd.events.facts import Fact, Level
from consumerd.events.listeners import Listeners
from consumerd.master.control.broadcast import (
    KEPT,
    LONGEST_LINE_BYTES,
    MOST_FOLLOWERS,
    MOST_WAITING,
    Broadcast,
)

Following = AsyncGenerator[str, None]


def follow(broadcast: Broadcast, recent: int = 0) -> Following:
    return cast("Following", broadcast.follow(recent=recent))


def run(scene: Callable[[Broadcast], Awaitable[None]]) -> None:
    async def main() -> None:
        emit = Listeners()
        broadcast = Broadcast(emit)
        emit.add(broadcast)
        await scene(broadcast)

    asyncio.run(main())


async def recent(broadcast: Broadcast, **wish: Any) -> list[dict[str, Any]]:  # items of any shape
    return [json.loads(item) async for item in broadcast.follow(is_following=False, **{"recent": KEPT, **wish})]


def fact(number: int, consumer: str = "g/a") -> Fact:
    return Fact("task_failed", Level.WARNING, {"consumer": consumer, "number": number})


def test_a_follower_gets_the_recent_and_then_what_comes_until_the_end() -> None:
    async def scene(broadcast: Broadcast) -> None:
        for number in range(3):
            broadcast(fact(number))
        following = follow(broadcast, 2)
        numbers = [json.loads(await anext(following))["number"] for _ in range(2)]
        broadcast(fact(3))
        numbers.append(json.loads(await anext(following))["number"])
        assert numbers == [1, 2, 3]
        closing = asyncio.ensure_future(broadcast.close(10.0))
        with pytest.raises(StopAsyncIteration):
            await anext(following)
        await closing
        assert [item async for item in follow(broadcast)] == []

    run(scene)


def test_a_target_leaves_out_the_others_and_the_masters_own() -> None:
    async def scene(broadcast: Broadcast) -> None:
        broadcast(fact(1, "g/a"))
        broadcast(fact(2, "h/b"))
        broadcast(Fact("master_started"))
        broadcast.hear_stderr(5, "h/b", b"a line\n")
        found = await recent(broadcast, target="g")
        assert [item["number"] for item in found] == [1]
        assert [item["event"] for item in await recent(broadcast)] == ["task_failed", "task_failed", "master_started"]
        with_stderr = await recent(broadcast, target="h/b", with_stderr=True)
        assert [item["event"] for item in with_stderr] == ["task_failed", "stderr"]

    run(scene)


def test_stderr_becomes_lines_whatever_its_pieces() -> None:
    async def scene(broadcast: Broadcast) -> None:
        for fd, piece in ((5, b"one\ntw"), (6, b"other"), (5, b"o\n"), (6, b" pipe\n"), (5, b"\xff un"), (5, b"ended")):
            broadcast.hear_stderr(fd, "g/a", piece)
        broadcast.hear_stderr(5, "g/a", b"")
        broadcast.hear_stderr(7, "", b"x" * (LONGEST_LINE_BYTES + 1))
        lines = [item["line"] for item in await recent(broadcast, with_stderr=True)]
        assert lines == ["one", "two", "other pipe", "\ufffd unended", "x" * LONGEST_LINE_BYTES]

    run(scene)


def test_who_reads_too_slowly_is_cut_off_and_told_how_much_was_missed() -> None:
    async def scene(broadcast: Broadcast) -> None:
        following = follow(broadcast, 1)
        broadcast(fact(0))
        await anext(following)
        for number in range(MOST_WAITING + 5):
            broadcast(fact(number))
        for number in range(MOST_WAITING):
            assert json.loads(await anext(following))["number"] == number
        with pytest.raises(ConsumerdError, match=r"^5 and more were missed"):
            await anext(following)
        last = (await recent(broadcast, recent=1))[0]
        assert (last["event"], last["missed"]) == ("follower_cut_off", 5)

    run(scene)


def test_no_more_may_follow_than_there_is_room_for_and_one_that_leaves_makes_room() -> None:
    async def scene(broadcast: Broadcast) -> None:
        broadcast(fact(0))
        followings = [follow(broadcast, 1) for _ in range(MOST_FOLLOWERS)]
        for following in followings:
            await anext(following)
        one_more = follow(broadcast, 1)
        with pytest.raises(ConsumerdError, match="no more may"):
            await anext(one_more)
        await followings[0].aclose()
        await anext(follow(broadcast, 1))

    run(scene)


def test_the_kept_are_bounded_and_long_texts_are_shortened() -> None:
    async def scene(broadcast: Broadcast) -> None:
        for number in range(KEPT + 10):
            broadcast(fact(number))
        found = await recent(broadcast)
        assert (len(found), found[0]["number"]) == (KEPT, 10)
        broadcast(Fact("task_failed", Level.WARNING, {"consumer": "g/a", "error": "é" * 100_000}))
        (shortened,) = await recent(broadcast, recent=1)
        assert shortened["error"].endswith("more characters)")

    run(scene)


def test_what_is_told_of_single_tasks_does_not_push_out_what_is_rare() -> None:
    async def scene(broadcast: Broadcast) -> None:
        broadcast(fact(0))
        broadcast(Fact("worker_ended", Level.WARNING, {"consumer": "g/a", "end": "SIGKILL"}))
        for number in range(1, 2 * KEPT):
            broadcast(fact(number))
        broadcast.hear_stderr(7, "g/a", b"a line\n" * KEPT)
        broadcast(Fact("worker_ready", Level.INFO, {"consumer": "g/a"}))
        found = await recent(broadcast, recent=2 * KEPT, with_stderr=True)
        assert [each["event"] for each in found if each["event"].startswith("worker")] == [
            "worker_ended",
            "worker_ready",
        ]
        assert (found[0]["event"], found[-1]["event"]) == ("worker_ended", "worker_ready")
        assert len(found) == KEPT + 2

    run(scene)


def test_who_only_asks_for_what_was_takes_no_place_of_those_who_follow() -> None:
    async def scene(broadcast: Broadcast) -> None:
        broadcast(fact(1))
        following = [follow(broadcast, 1) for _ in range(MOST_FOLLOWERS)]
        for each in following:
            await anext(each)
        assert [each["number"] for each in await recent(broadcast)] == [1]
        await broadcast.close(0.0)

    run(scene)
