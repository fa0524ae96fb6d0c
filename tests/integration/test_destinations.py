"""Destinations: one of twenty is down for a while, in a short run; what judges that; and acting on one by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.destinations import SERVERS, SICK, Call, Destinations, History, Servers, complaints, summary
from integration.scenarios.running import environment, running
from integration.scenarios.small_masters import entry, write_config
from servers.waiting import wait_until

DOWN_S, SEED = 10.0, 1
END_S = 60.0


def test_one_of_twenty_is_down_and_the_others_do_not_notice(tmp_path: Path) -> None:
    history = Destinations(tmp_path, SEED).run(DOWN_S)
    assert complaints(history) == [], summary(history)


# What judges it


def good_history() -> History:
    """Forty seconds at twenty tasks a second for each server, of which one is down from the tenth to the twentieth."""
    history = History(began_at=0.0, down_at=10.0, opened_at=10.5, up_at=20.0, end_at=40.0)
    number = 0
    for second in range(40):
        for server in SERVERS:
            for part in range(20):
                at = second + part / 20
                is_down = server == SICK and 10 <= at < 21
                if not is_down or at < 10.5 or part == 5:
                    number += not (is_down and at < 20)
                    history.calls.append(Call(at, server, number, is_done=not is_down or at >= 20))
    history.given = Counter(call.server for call in history.calls if call.is_done)
    history.given_at = {call.number: call.at for call in history.calls if call.is_done}
    return history


def lose(history: History) -> None:
    history.given["game-3"] += 1


def repeat(history: History) -> None:
    history.calls.append(history.calls[0])


def burn(history: History) -> None:
    history.calls.append(Call(15.0, SICK, 0, is_done=False))
    history.calls.append(Call(15.05, SICK, 0, is_done=False))
    history.calls.sort()


def burn_before(history: History) -> None:
    history.calls += [Call(10.2, SICK, 0, is_done=False)] * 40


def hold_up(history: History) -> None:
    """The others wait for what has come in one second of the outage until it is over."""
    late = {call.number for call in history.calls if call.server != SICK and 15 <= call.at < 16}
    history.calls = [call._replace(at=20.5) if call.number in late else call for call in history.calls]


def be_late(history: History) -> None:
    history.calls = [call for call in history.calls if not (21 <= call.at < 30 and call.server == SICK)]


def overshoot(history: History) -> None:
    history.calls += [Call(22.5, SICK, -number, is_done=True) for number in range(1, 9)]


def test_a_run_in_which_all_is_well_has_no_complaints() -> None:
    assert complaints(good_history()) == []


@pytest.mark.parametrize(
    ("plant", "complaint"),
    [
        (lose, "never done"),
        (repeat, "done twice"),
        (burn, "two attempts within"),
        (burn_before, "before it was taken for down"),
        (hold_up, "tasks that came for the others"),
        (be_late, "after it was up it was at"),
        (overshoot, "within a second"),
    ],
)
def test_what_must_not_be_is_found(plant: Callable[[History], None], complaint: str) -> None:
    history = good_history()
    plant(history)
    assert any(complaint in each for each in complaints(history)), complaints(history)


# By hand


def test_a_destination_is_opened_and_closed_by_hand(tmp_path: Path) -> None:
    database, servers = str(tmp_path / "tasks.sqlite"), Servers(SEED)
    create_table(database)

    def done(server: str) -> int:
        return sum(call.server == server for call in servers.calls)

    with servers.listening() as port:
        callbacks = entry(
            "Callbacks", 2, "integration.scenarios.callbacks", database=database, port=port, concurrency=4
        )
        config = write_config(tmp_path, callbacks)
        with running(config, state_dir=tmp_path / "state", log=tmp_path / "log", env=environment()) as master:

            def wait(condition: Callable[[], object]) -> None:
                wait_until(condition, END_S, message=master.tail)

            def shown() -> dict[str, dict[str, object]]:
                return {each["name"]: each for each in master.answer("destinations", "small/callbacks")}

            enqueue(database, [{"server": name, "number": 0} for name in ("game-1", "game-2")])
            wait(lambda: done("game-1") == done("game-2") == 1)
            assert master.verb("destinations", "open", "game-3").returncode == 2
            assert master.verb("destinations", "open", "game-1").returncode == 0
            assert shown()["game-1"]["state"] == "held"

            enqueue(database, [{"server": name, "number": 1} for name in ("game-1", "game-2") for _ in range(5)])
            wait(lambda: done("game-2") == 6 and shown()["game-1"]["waiting"] == 5)
            assert done("game-1") == 1
            unhealthy = master.verb("status", "--check")
            assert unhealthy.returncode == 1
            assert b"its destination game-1 is held open" in unhealthy.stdout

            assert b"its tasks begin again" in master.verb("destinations", "close", "game-1").stdout
            wait(lambda: done("game-1") == 6)
            assert shown()["game-1"]["state"] == "returning"
            assert master.verb("status", "--check").returncode == 0
            acts = [json.loads(line) for line in (tmp_path / "state" / "audit.log").read_text().splitlines()]
            assert [each["method"] for each in acts] == ["destinations-open"] * 2 + ["destinations-close"]
            told = master.log.read_text()
            assert "destination_opened" in told
            assert "destination_closed" in told


def test_tasks_without_retries_outlive_that_their_destination_goes_down(tmp_path: Path) -> None:
    database, servers, tasks = str(tmp_path / "tasks.sqlite"), Servers(SEED), 40
    create_table(database)
    servers.down.add("game-1")
    with servers.listening() as port:
        keys = {"database": database, "port": port, "concurrency": 4, "breaker": {"least": 6}}
        config = write_config(tmp_path, entry("Unlisted", 2, "integration.scenarios.callbacks", **keys))
        with running(config, state_dir=tmp_path / "state", log=tmp_path / "log", env=environment()) as master:
            enqueue(database, [{"server": "game-1", "number": number} for number in range(tasks)])
            wait_until(lambda: "destination_opened" in master.log.read_text(), END_S, message=master.tail)
            why = b"attempts had all failed, the last with RuntimeError: no answer"
            wait_until(lambda: why in master.verb("status").stdout, END_S, message=master.tail)
            assert b"RuntimeError: no answer" in master.verb("destinations").stdout
            servers.down.clear()
            wait_until(lambda: sum(call.is_done for call in servers.calls) == tasks, END_S, message=master.tail)
            assert '"state": "dead"' in master.log.read_text()
            wait_until(lambda: master.answer("parked", "list")["tasks"] == [], END_S, message=master.tail)
