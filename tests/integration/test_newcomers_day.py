"""The first day of somebody who moves a consumer here: what goes wrong is named, and undone or waited for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, make_url, text

from integration.scenarios.running import READY_S, Running, environment, running
from integration.test_kafka_source import produce
from servers.database import DatabaseServer
from servers.kafka import KafkaServer, TopicFactory
from servers.waiting import wait_until

MODULE = """
import os
import pymysql
from consumerd import KafkaBaseConsumer
from sqlalchemy import make_url


class LoginConsumer(KafkaBaseConsumer):
    RETRY_BASIC_INTERVAL = 0.01

    def pre_consume(self):
        url = make_url(os.environ["GRANTS"])
        self.connection = pymysql.connect(
            host=url.host, port=url.port, user=url.username, password=url.password or "", database=url.database,
            autocommit=True)

    def handle_task(self, offset, record):
        with self.connection.cursor() as cursor:
            cursor.execute("INSERT IGNORE INTO granted VALUES (%s)", (record["uid"],))
"""


class Day:
    """A folder with a consumer and its configuration, and the table into which it grants."""

    def __init__(self, folder: Path, brokers: str, url: str) -> None:
        self.folder = folder
        self.brokers = brokers
        self.url = url
        self.engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        (folder / "logins.py").write_text(MODULE)
        with self.engine.connect() as connection:
            connection.execute(text("CREATE TABLE granted (uid INT PRIMARY KEY)"))

    def configure(self, topic: str, **settings: Any) -> Path:
        configs = {"brokers": self.brokers, "topic_name": topic, "consumer_group": "gop", "workers": 2}
        entry = {"class": "logins:LoginConsumer", "configs": configs}
        config = self.folder / "config.json"
        config.write_text(json.dumps({"gop": [entry], "consumerd": {"stop_timeout": 5, **settings}}))
        return config

    def granted(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM granted")).scalar_one())

    def check(self, config: Path) -> str:
        command = [sys.executable, "-m", "consumerd", "check", str(config)]
        env = environment(GRANTS=self.url)
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, timeout=READY_S, check=False)
        return (done.stdout + done.stderr).decode()


def until(master: Running, condition: Callable[[], object], what: str) -> None:
    wait_until(condition, deadline_s=120, message=lambda: f"{what}{master.tail()}")


def problems(master: Running) -> list[str]:
    found: list[str] = master.status()["problems"]
    return found


def test_a_newcomers_day(
    kafka: KafkaServer, kafka_topic: TopicFactory, restartable_mariadb: DatabaseServer, tmp_path: Path
) -> None:
    topic = kafka_topic("logins", 2)
    with restartable_mariadb.fresh_database() as url:
        day = Day(tmp_path, kafka.brokers, url)
        wrong = make_url(url).set(username="nobody", password="hunter2")
        said = day.check(day.configure(topic, parking=wrong.render_as_string(hide_password=False)))
        assert "the parking store" in said
        assert "denied" in said
        assert "hunter2" not in said

        config = day.configure(topic)
        env = environment(GRANTS=url)
        with running(str(config), state_dir=tmp_path / "state", log=tmp_path / "log", env=env) as master:
            master.wait_until_ready(2)
            produce(kafka.brokers, topic, ((n % 2, json.dumps({"uid": n}).encode()) for n in range(100)))
            until(master, lambda: day.granted() == 100, "the first logins")

            day.configure(f"{topic}-misspelt")
            refused = master.verb("reload", "--wait")
            assert refused.returncode == 1
            assert b"taken back" in refused.stderr
            assert f"there is no topic {topic}-misspelt".encode() in refused.stderr
            day.configure(topic)
            master.answer("reload", "--wait")
            until(master, lambda: master.verb("status", "--check").returncode == 0, "health with the topic as it was")

            restartable_mariadb.stop()
            try:
                produce(kafka.brokers, topic, ((n % 2, json.dumps({"uid": n}).encode()) for n in range(100, 500)))
                until(master, lambda: b"destination_away" in master.log.read_bytes(), "that the database is missed")
                assert problems(master)
            finally:
                restartable_mariadb.start()
            until(master, lambda: day.granted() == 500, "every login, as if nothing had been")
            until(master, lambda: master.verb("status", "--check").returncode == 0, "health as before")
            assert master.parked() == []
            assert b'"dead"' not in master.log.read_bytes()
            assert master.stop() == 0
