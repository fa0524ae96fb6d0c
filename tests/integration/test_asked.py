"""`consumerd where`, `peek` and `send`: sources on servers pass the suite, and a master's tasks are found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from consumerd.clock import monotonic
from consumerd.errors import SourceAwayError, SourceRefusedError, UsageError
from consumerd.model.outcome import DONE
from consumerd.sources.askable import Askable, AskContext, Message, TaskState
from consumerd.sources.contract import Settlement
from consumerd.sources.kafka.asked import AskedTopic
from contracts.asked import AskedContract, payloads, sent
from contracts.asked_table import AskedBesideContract, AskedTableContract
from contracts.table_bench import TableBench, closing
from integration.scenarios.kafka_member import PATIENCE_S, Seat
from integration.scenarios.observer import GroupObserver
from integration.scenarios.running import environment, running
from servers.kafka import KafkaServer, TopicFactory
from servers.waiting import wait_until


class TopicAsked:
    """A topic that one worker of a group reads, who leaves after each batch."""

    absent, nonsense = "0:4711", "order-17"

    def __init__(self, seat: Seat, kafka: KafkaServer) -> None:
        self.seat = seat
        self._observer = GroupObserver(kafka.clerk, topic=seat.topic, group=seat.group)

    def asked(self) -> Askable:
        return AskedTopic(AskContext("shop/Logins", self.seat.options, None, lambda: nullcontext()))

    def finish(self, count: int) -> None:
        source = self.seat.open()
        batch = wait_until(lambda: source.fetch(count, 0.2), PATIENCE_S, "no batch came")
        assert batch is not None
        source.settle([Settlement(batch, 0, len(batch.raws), DONE)], is_due=True)
        source.release(batch, ())
        source.close(monotonic() + PATIENCE_S)

    def stored(self) -> object:
        return self._observer.committed(), self._observer.members(), self._observer.ends(1)


class TestTopic(AskedContract):
    @pytest.fixture
    def bench(self, kafka: KafkaServer, kafka_topic: TopicFactory) -> TopicAsked:
        return TopicAsked(Seat(kafka.brokers, kafka_topic(), f"group-{uuid.uuid4().hex[:8]}"), kafka)

    def test_who_looks_is_no_member_of_the_group(self, bench: TopicAsked) -> None:
        sent(bench, payloads(0))
        bench.asked().peek(1)
        bench.asked().where("0:0")
        assert bench.stored() == ({}, (), {0: 1})

    def test_a_key_and_headers_are_sent(self, bench: TopicAsked) -> None:
        sent(bench, [Message(b"1", b"user-7", (("trace", b"abc"),))])
        (found,) = bench.asked().peek(1)
        assert (found.key, found.note.startswith("produced ")) == (b"user-7", True)
        source = bench.seat.open()
        batch = wait_until(lambda: source.fetch(1, 0.2), PATIENCE_S, "no batch came")
        assert batch is not None
        assert (batch.task(0).key, batch.task(0).headers) == (b"user-7", (("trace", b"abc"),))
        source.close(monotonic() + PATIENCE_S)

    def test_each_partition_has_its_turn(self, kafka: KafkaServer, kafka_topic: TopicFactory) -> None:
        bench = TopicAsked(Seat(kafka.brokers, kafka_topic(partitions=3), uuid.uuid4().hex), kafka)
        places = sent(bench, [Message(b"%d" % number, b"key-%d" % number) for number in range(60)])
        peeked = [each.place for each in bench.asked().peek(60)]
        assert sorted(peeked) == sorted(places)
        assert len({place.partition(":")[0] for place in peeked[:3]}) == 3
        with pytest.raises(UsageError, match="has 3 partitions: name the task by partition:offset"):
            bench.asked().where("7")
        with pytest.raises(UsageError, match="has no partition 9: it has 0, 1, 2"):
            bench.asked().where("9:0")

    def test_a_topic_that_is_not_there_is_refused_and_not_made(self, kafka: KafkaServer) -> None:
        bench = TopicAsked(Seat(kafka.brokers, f"nowhere-{uuid.uuid4().hex}", "group"), kafka)
        for ask in (lambda: bench.asked().peek(1), lambda: bench.asked().send(payloads(1))):
            with pytest.raises((SourceRefusedError, SourceAwayError)):
                ask()

    def test_what_a_new_group_skips_was_never_given_to_it(self, kafka: KafkaServer, kafka_topic: TopicFactory) -> None:
        seat = Seat(kafka.brokers, kafka_topic(), uuid.uuid4().hex, keys={"auto_offset_reset": "latest"})
        bench = TopicAsked(seat, kafka)
        sent(bench, payloads(0, 1))
        found = bench.asked().where("0:1")
        assert (found.state, "was never given offset 1" in found.told) == (TaskState.ABSENT, True)
        assert list(bench.asked().peek(10)) == []


class TestServers(AskedTableContract):
    @pytest.fixture
    def table(self, database_url: str) -> Iterator[TableBench]:
        with closing(TableBench(database_url, is_server=True)) as bench:
            yield bench


class TestServersBeside(AskedBesideContract):
    @pytest.fixture
    def table(self, database_url: str) -> Iterator[TableBench]:
        with closing(TableBench(database_url, is_server=True, is_beside=True)) as bench:
            yield bench


# The verbs, as a person runs them

MODULE = """
from consumerd import Dead, Retry, TableBaseConsumer

from pydantic import BaseModel

class Job(BaseModel):
    do: str

class Jobs(TableBaseConsumer):
    def handle_task(self, offset, record: Job):
        match record.do:
            case "wait":
                open(self.config["fifo"]).read()
            case "retry":
                return Retry(after=3600)
            case "die":
                return Dead("of \\x1b[31mold age")
"""


class Desk:
    """A configuration, and the command line beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        (folder / "jobs.py").write_text(MODULE)
        configs = {"database": str(folder / "jobs.sqlite"), "fifo": str(self.fifo)}
        entries = [{"module": "jobs", "class": "Jobs", "configs": configs}]
        self.config = str(folder / "c.json")
        (folder / "c.json").write_text(json.dumps({"shop": entries, "consumerd": {"state_dir": str(folder / "state")}}))
        assert self.run("table", self.config, "shop/Jobs", "--create").returncode == 0

    def run(self, *arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "consumerd", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment(), input=given, capture_output=True, timeout=120, check=False
        )

    def configured(self, verb: str, *arguments: str, given: bytes | None = None) -> str:
        """What a verb says that goes by the configuration alone."""
        done = self.run(verb, "shop/Jobs", *arguments, "--config", self.config, given=given)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_is_sent_without_a_master_is_found_and_shown_harmless(desk: Desk) -> None:
    hostile = '{"do": "nothing", "note": "\u202e\x07<b>"}'
    lines = b'{"do": "a"}\n\n' + hostile.replace("\x07", "\\u0007").encode() + b"\n"
    assert desk.configured("send", "--dry-run", "--file", "-", given=lines).endswith("and nothing was sent\n")
    assert desk.configured("peek") == "shop/Jobs: nothing comes next now\n"
    assert desk.configured("send", "--file", "-", given=lines) == "shop/Jobs: sent, as 1\nshop/Jobs: sent, as 2\n"
    shown = desk.configured("peek")
    assert "\u202e" not in shown
    assert "\\u202e" in shown
    assert desk.configured("peek", "--raw").encode() == lines.replace(b"\n\n", b"\n")
    assert [each["task"] for each in json.loads(desk.configured("peek", "--json"))["tasks"]] == ["1", "2"]
    assert desk.configured("where", "2").startswith("pending: row 2 of tasks has been due for ")
    assert not (desk.folder / "state").exists()


def test_what_a_worker_could_not_decode_is_not_sent(desk: Desk) -> None:
    good = '{"do": "a"}'
    for bad, why in (("{nonsense", b"the payload is not JSON"), ('{"do": 1}', b"the record is no Job: do: ")):
        done = desk.run("send", "shop/Jobs", "--config", desk.config, "--record", good, "--record", bad)
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
        assert b"record 2 would be parked at once, and nothing was sent: " + why in done.stderr
    assert desk.configured("peek") == "shop/Jobs: nothing comes next now\n"


def test_nothing_to_send_and_no_such_row_are_told_in_a_sentence(desk: Desk) -> None:
    done = desk.run("send", "shop/Jobs", "--config", desk.config)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    done = desk.run("where", "shop/Jobs", "9", "--config", desk.config)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"absent: tasks has no row 9\n", b"")
    done = desk.run("where", "shop/Jobs", "9")
    assert done.returncode == 2
    assert b"no master runs whose configuration could be used: name one with --config" in done.stderr


def test_a_master_s_tasks_are_found_as_they_go(desk: Desk) -> None:
    state_dir, log = desk.folder / "state", desk.folder / "log"
    with running(
        desk.config, state_dir=state_dir, log=log, env=environment() | {"PYTHONPATH": str(desk.folder)}
    ) as master:
        master.wait_until_ready(1)

        def found(task: str) -> Any:
            done = master.verb("where", "shop/Jobs", task, "--json")
            assert done.stderr == b"", done.stderr.decode()
            return json.loads(done.stdout)

        def until(task: str, state: str) -> Any:
            def look() -> Any:
                seen = found(task)
                return seen if seen["state"] == state and (state != "running" or seen["running"]) else None

            return wait_until(look, 60.0, lambda: f"{state}: {found(task)}{master.tail()}")

        for do in ("done", "retry", "die", "wait", "done"):
            assert master.verb("send", "shop/Jobs", "--record", json.dumps({"do": do})).returncode == 0
        assert until("4", "running")["running"]["worker_id"] == 0
        assert found("4")["told"].startswith("worker 0 has run it for ")
        assert until("1", "done")["parked"] is None
        waiting = until("2", "waiting")
        assert "waits to be tried again" in waiting["told"]
        dead = until("3", "dead")
        assert dead["parked"]["handle"] in dead["told"]
        said = master.verb("where", "shop/Jobs", "3").stdout
        assert b"\\x1b" in said
        assert b"\x1b" not in said
        assert found("5")["state"] in ("pending", "claimed", "running")
        desk.fifo.write_text("go on")
        until("4", "done")
        until("5", "done")
