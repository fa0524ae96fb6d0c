"""Code written to the post runs as it stands: its classes as it prints them, its setting word for word, no master."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Producer

from integration.scenarios.observer import GroupObserver
from integration.scenarios.running import environment
from servers.kafka import KafkaServer, TopicFactory
from servers.waiting import wait_until

RECORDS = 100
END_S = 60.0

MANAGERS = """
import os

def update_grant_use_time(platform, uid, app_id, last_use_time):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write("%s %s %s %s\\n" % (platform, uid, app_id, last_use_time))

def refresh_db_connections():
    pass

def get_fresh_event_by_app_id(app_id, threshold):
    return []
"""

CONSUMERS = """
import json

import seed_managers as app_event_manager
import seed_managers as grant_manager
from consumerd import KafkaBaseConsumer, MySQLBaseConsumer
from seed_managers import refresh_db_connections


class LoginConsumer(KafkaBaseConsumer):
    def handle_task(self, offset, record):
        refresh_db_connections()
        platform = record['platform']
        uid = record['uid']
        app_id = record['app_id']
        last_use_time = record['now']
        grant_manager.update_grant_use_time(platform, uid, app_id, last_use_time)


class IteratingLoginConsumer(LoginConsumer):
    def iterate_task(self):
        for offset, value in self.consume_client.consume():
            record = json.loads(value)
            yield offset, record


class AppEventDBConsumer(MySQLBaseConsumer):
    def __init__(self, worker_id, **kwargs):
        self.timeout = 10
        self.back_off_time = 10
        self.max_back_off_time = 2 * 60 * 60
        self.expire_time = 4 * 24 * 60 * 60
        self.app_id = kwargs.get('app_id')
        self.app = None
        super(AppEventDBConsumer, self).__init__(worker_id, **kwargs)

    def handle_task(self, offset, record):
        pass

    def get_next_batch(self):
        return app_event_manager.get_fresh_event_by_app_id(self.app_id, 100)
"""

SETTINGS = """
KAFKA_SERVER_SETTING = {
    'gop_consumer': [{
        'module': 'gop_consumer.consumers.login_consumer', # the python file where consumer stays
        'class': 'LoginConsumer', # the exact consumer class
        'configs': {
            'workers': 16, # number of workers
            'brokers': '%s',
            'process_name': 'gop_consumer', # process name
            'topic_name': 'login_task', # kafka topic
            'consumer_group': 'login_consumer', # kafka consumer group
        }
    }]
}

APP_EVENT_SETTING = {
    'gop_events': [{
        'module': 'gop_consumer.consumers.login_consumer',
        'class': 'AppEventDBConsumer',
        'configs': {'app_id': 7},
    }]
}
"""

FOREGROUND = """
import json, sys
from gop_consumer.consumers import login_consumer
getattr(login_consumer, sys.argv[1])(0, **json.loads(sys.argv[2])).consume()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project as the post describes it; the brokers of its setting are still to be named."""
    package = tmp_path / "gop_consumer" / "consumers"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (tmp_path / "seed_managers.py").write_text(MANAGERS)
    (package / "login_consumer.py").write_text(CONSUMERS)
    return tmp_path


def write_setting(project: Path, brokers: str) -> None:
    (project / "seed_settings.py").write_text(SETTINGS % brokers)


def project_environment(project: Path) -> dict[str, str]:
    places = {"PYTHONPATH": str(project), "NOTES": str(project / "notes"), "XDG_STATE_HOME": str(project / "state")}
    return environment() | places


def consumerd(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "consumerd", *arguments]
    return subprocess.run(
        command, env=project_environment(project), cwd=project, capture_output=True, text=True, timeout=60, check=False
    )


def produce_logins(brokers: str, topic: str) -> list[str]:
    """So many logins; the notes that they should leave."""
    producer = Producer({"bootstrap.servers": brokers})
    for uid in range(RECORDS):
        login = {"platform": 1, "uid": uid, "app_id": 7, "now": 1_700_000_000 + uid}
        producer.produce(topic, json.dumps(login).encode())
    assert producer.flush(30) == 0
    return [f"1 {uid} 7 {1_700_000_000 + uid}" for uid in range(RECORDS)]


@pytest.mark.parametrize("name", ["KAFKA_SERVER_SETTING", "APP_EVENT_SETTING"])
def test_the_classes_and_settings_of_the_post_pass_the_check(
    kafka: KafkaServer, kafka_topic: TopicFactory, project: Path, name: str
) -> None:
    write_setting(project, kafka.brokers)
    setting = project / "seed_settings.py"
    setting.write_text(setting.read_text().replace("'login_task'", f"'{kafka_topic('login-task', 2)}'"))
    done = consumerd(project, "check", f"seed_settings:{name}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_check_names_the_brokers_of_the_post_that_nobody_can_reach(project: Path) -> None:
    write_setting(project, "broker-1:9092,broker-2:9092,broker-3:9092")
    done = consumerd(project, "check", "seed_settings:KAFKA_SERVER_SETTING")
    assert "broker-1" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("consumer", ["LoginConsumer", "IteratingLoginConsumer"])
def test_a_consumer_runs_in_the_foreground_without_a_master_and_stops_on_sigterm(
    kafka: KafkaServer, kafka_topic: TopicFactory, project: Path, consumer: str
) -> None:
    topic = kafka_topic("foreground", 2)
    expected = produce_logins(kafka.brokers, topic)
    configs = {"workers": 16, "brokers": kafka.brokers, "topic_name": topic, "consumer_group": topic}
    command = [sys.executable, "-c", FOREGROUND, consumer, json.dumps(configs)]
    log = project / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=project_environment(project), stdout=output, stderr=output)
    notes = project / "notes"
    group = GroupObserver(kafka.clerk, topic=topic, group=topic)
    try:
        wait_until(
            lambda: process.poll() is not None or _lines(notes) >= RECORDS,
            deadline_s=END_S,
            message=lambda: f"{RECORDS} logins noted{log.read_text()}",
        )
        assert process.poll() is None, log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert sorted(notes.read_text().splitlines()) == sorted(expected)
    assert group.committed_total() == RECORDS


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0
