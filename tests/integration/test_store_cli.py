"""`consumerd parked` with no master running: it asks the store itself."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from consumerd.model.task import TaskId
from consumerd.parking.opening import open_store
from consumerd.parking.store import ParkingStore
from contracts.parking_store import CONSUMER, dead_task, parked_task, rows
from integration.scenarios.running import environment, running
from servers.waiting import wait_until

EVERY_BYTE = bytes(range(256)) * 4_000
END_S = 60.0
ENTRY = {"module": "never_imported", "class": "Consumer", "configs": {}}


@pytest.fixture
def store(state_dir: Path) -> Iterator[ParkingStore]:
    store = open_store(None, state_dir)
    yield store
    store.close()


def parked(
    state_dir: Path, *arguments: str, stdin: int = subprocess.DEVNULL, **env: str
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "consumerd", "parked", *arguments, "--state-dir", str(state_dir)]
    run = partial(subprocess.run, capture_output=True, timeout=END_S, check=False)
    done: subprocess.CompletedProcess[bytes] = run(command, env=environment(**env), stdin=stdin)
    return done


def answer(state_dir: Path, *arguments: str) -> Any:  # JSON of any shape
    done = parked(state_dir, *arguments, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_payload_is_had_back_byte_for_byte(store: ParkingStore, state_dir: Path) -> None:
    store.park([replace(dead_task(1), payload=EVERY_BYTE)])
    (row,) = answer(state_dir, "list")["tasks"]
    done = parked(state_dir, "show", row["handle"], "--raw")
    assert done.stdout == EVERY_BYTE
    assert done.returncode == 0


def test_a_task_is_shown_with_its_error_and_nothing_of_it_steers_the_terminal(
    store: ParkingStore, state_dir: Path
) -> None:
    store.park([replace(dead_task(1), payload=b'{"a": "\x1b[31mred\n"}', error="bad \x1b]0;title\x07")])
    text = parked(state_dir, "show", dead_task(1).task_id).stdout.decode()
    assert "\x1b" not in text
    assert r"\x1b[31mred" in text
    assert "Traceback" in text
    assert "topic:uuid, shard 0, position 1" in text


def test_bytes_that_are_no_text_are_dumped(store: ParkingStore, state_dir: Path) -> None:
    store.park([replace(dead_task(1), payload=b"\xff\x00ab")])
    assert "00000000  ff 00 61 62" in parked(state_dir, "show", dead_task(1).task_id).stdout.decode()


def test_a_list_is_narrowed_and_cut(store: ParkingStore, state_dir: Path) -> None:
    store.park([dead_task(number) for number in range(150)] + [parked_task(200), dead_task(3, "other/consumer")])
    assert len(answer(state_dir, "list", "group", "--limit", "120")["tasks"]) == 120
    assert answer(state_dir, "list", "group", "--limit", "120")["has_more"]
    assert len(answer(state_dir, "list", CONSUMER, "--state", "waiting")["tasks"]) == 1
    assert len(answer(state_dir, "list", "other")["tasks"]) == 1


def test_tasks_are_retried_and_discarded_by_handle_or_all_of_a_target(store: ParkingStore, state_dir: Path) -> None:
    store.park([dead_task(1), dead_task(2), dead_task(3, "other/consumer")])
    handle = answer(state_dir, "list", "other")["tasks"][0]["handle"]
    assert answer(state_dir, "retry", handle) == {
        "consumers": [{"consumer": "other/consumer", "tasks": 1}],
        "left": [],
    }
    assert answer(state_dir, "discard", "--all", "--target", "group") == {
        "consumers": [{"consumer": CONSUMER, "tasks": 2}],
        "left": [],
    }
    assert store.parked_count("other/consumer") == (1, 0)
    assert len(rows(store)) == 1


def test_all_reaches_the_configurations_own_tasks_and_a_terminal_is_asked_before(
    store: ParkingStore, state_dir: Path, tmp_path: Path
) -> None:
    store.park([dead_task(1), dead_task(2), dead_task(3, "other/consumer")])
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"group": [{**ENTRY, "name": "consumer"}]}))
    terminal, stdin = pty.openpty()
    for agreed, exit_code, said in ((b"n\n", 1, "nothing was changed"), (b"y\n", 0, "group/consumer: 2 discarded")):
        os.write(terminal, agreed)
        done = parked(state_dir, "discard", "--all", "--config", str(config), stdin=stdin)
        assert done.stderr == b"discard 2 tasks (group/consumer 2)? [y/N]: ", done.stdout
        assert done.stdout.decode().splitlines()[0] == said
        assert done.returncode == exit_code
    assert b"other/consumer: 1 left as they are, since it is not run here: add --target other/consumer" in done.stdout
    assert store.parked_count("other/consumer") == (0, 1)
    assert len(rows(store)) == 1
    os.close(terminal)
    os.close(stdin)


def test_a_wrong_time_is_a_wrong_use(store: ParkingStore, state_dir: Path) -> None:
    store.park([dead_task(1)])
    wrong = parked(state_dir, "discard", "--all", "--since", "yesterday")
    assert wrong.returncode == 2
    assert b"'yesterday' is no time: write 30min, 2h or 3d ago" in wrong.stderr
    dry = parked(state_dir, "discard", "--all", "--until", "1h", "--dry-run", "--error", "ValueError")
    assert dry.stdout == b"group/consumer: 1 would be discarded\n"
    assert parked(state_dir, "retry", "--all", "--since", "1 h ago").stdout == b"nothing is parked there\n"
    assert store.parked_count(CONSUMER)[1] == 1


def test_errors_records_and_a_rate_are_had_from_the_command_line(store: ParkingStore, state_dir: Path) -> None:
    store.park([replace(dead_task(number), error=f"KeyError: 'user_{number}'") for number in range(4)])
    assert [(each["error"], each["tasks"]) for each in answer(state_dir, "errors")["errors"]] == [
        ("KeyError: 'user_#'", 4)
    ]
    assert len(answer(state_dir, "list", "--where", "number=2")["tasks"]) == 1
    wrong = parked(state_dir, "list", "--where", "number")
    assert (wrong.returncode, wrong.stderr[:50]) == (2, b"consumerd: 'number' is no condition on a record: w")
    assert parked(state_dir, "retry", "--all", "--rate", "many").returncode == 2
    done = parked(state_dir, "retry", "--all", "--rate", "1/h").stdout.decode().splitlines()
    assert done[0] == "group/consumer: 4 due at 1/h"
    assert done[1].startswith("the last of 4 is due in 3 h, at ")
    assert len(store.due(CONSUMER, 10)[0]) == 1


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_everything_is_meant_only_by_all(store: ParkingStore, state_dir: Path, verb: str) -> None:
    store.park([dead_task(1)])
    done = parked(state_dir, verb)
    assert done.returncode == 2
    assert b"--all" in done.stderr
    assert store.parked_count(CONSUMER)[1] == 1


def test_an_unknown_handle_is_one_sentence(store: ParkingStore, state_dir: Path) -> None:
    store.park([dead_task(1)])
    done = parked(state_dir, "show", "abcdef")
    assert done.returncode == 1
    assert done.stderr == b"consumerd: nothing is parked under 'abcdef': see consumerd parked list\n"


def test_too_little_of_a_handle_is_a_wrong_use(store: ParkingStore, state_dir: Path) -> None:
    store.park([replace(dead_task(1), task_id=TaskId("17"))])
    done = parked(state_dir, "show", "3f")
    assert (done.returncode, done.stderr) == (2, b"consumerd: '3f' is too short: write at least 4 characters\n")
    assert answer(state_dir, "show", "17")["task_id"] == "17"


@pytest.mark.parametrize("verb", [["list", "grup"], ["retry", "--all", "--target", "grup"]])
def test_a_target_that_no_consumer_has_is_a_wrong_use_where_the_consumers_are_known(
    store: ParkingStore, state_dir: Path, tmp_path: Path, verb: list[str]
) -> None:
    store.park([dead_task(1)])
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"group": [ENTRY]}))
    known = parked(state_dir, *verb, "--config", str(config))
    assert known.returncode == 2
    assert known.stderr == b"consumerd: there is no consumer or group 'grup': there is group/Consumer\n"
    assert parked(state_dir, "list", "group/Consumer", "--config", str(config)).stdout == b"nothing is parked\n"
    unknown = parked(state_dir, *verb)
    assert (unknown.returncode, unknown.stdout[:17]) == (0, b"nothing is parked")


def test_a_running_master_knows_its_consumers(store: ParkingStore, state_dir: Path, tmp_path: Path) -> None:
    store.park([dead_task(1, "shop/Other")])
    config = tmp_path / "config.json"
    keys = {"database": str(tmp_path / "none"), "grants": str(tmp_path / "grants"), "pause_s": 0}
    entry = {"class": "consumerd.demo.login_consumer:LoginConsumer", "configs": keys}
    config.write_text(json.dumps({"shop": [entry]}))
    with running(str(config), state_dir=state_dir, log=tmp_path / "log", env=environment()) as master:
        wait_until(lambda: master.verb("status").stdout, END_S, master.tail)
        wrong = parked(state_dir, "discard", "--all", "--target", "shpo")
        assert wrong.returncode == 2
        assert wrong.stderr == b"consumerd: there is no consumer or group 'shpo': there is shop/LoginConsumer\n"
        left = [{"consumer": "shop/Other", "tasks": 1}]
        assert answer(state_dir, "discard", "--all", "--target", "shop") == {"consumers": [], "left": left}
        assert parked(state_dir, "discard", "--all", "--target", "shop/Other").stdout == b"shop/Other: 1 discarded\n"
        assert parked(state_dir, "list", "shop").stdout == b"nothing is parked\n"


def test_an_empty_state_directory_is_left_empty(state_dir: Path) -> None:
    done = parked(state_dir, "list")
    assert done.returncode == 1
    assert b"no task is parked" in done.stderr
    assert list(state_dir.iterdir()) == []


def test_the_store_of_a_configuration_is_asked_and_its_secrets_resolve(
    mariadb_url: str, state_dir: Path, tmp_path: Path
) -> None:
    store = open_store(mariadb_url, state_dir)
    store.park([dead_task(1)])
    store.close()
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"consumerd": {"parking": "${STORE_URL}"}, "group": [ENTRY]}))
    done = parked(state_dir, "list", "--config", str(config), "--json", STORE_URL=mariadb_url)
    assert done.returncode == 0, done.stderr.decode()
    assert len(json.loads(done.stdout)["tasks"]) == 1
    unset = parked(state_dir, "list", "--config", str(config))
    assert unset.returncode != 0
    assert b"STORE_URL" in unset.stderr
