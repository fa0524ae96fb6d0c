"""`consumerd check` as a person runs it: a process, its output, its exit code."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from servers.kafka import KafkaServer
from servers.waiting import wait_until

JOBS = """
from consumerd import BaseConsumer, KafkaBaseConsumer, MySQLBaseConsumer
print("user code prints", flush=True)
print('{"problems": [], "loaded": null, "last": true}', flush=True)

class Lines(BaseConsumer):
    def iterate_task(self): yield 0, {}
    def handle_task(self, offset, record): ...

class LoginConsumer(KafkaBaseConsumer):
    def handle_task(self, offset, record): ...

class NoConsumer: ...
"""

SEEDS_SETTING = """
KAFKA_SERVER_SETTING = {
    'gop_consumer': [{
        'module': 'jobs',
        'class': 'LoginConsumer', # the exact consumer class
        'configs': {
            'workers': 16, # number of workers
            'brokers': 'localhost:1,localhost:2,localhost:3',
            'process_name': 'gop_consumer', # process name
            'topic_name': 'login_task', # kafka topic
            'consumer_group': 'login_consumer', # kafka consumer group
        }
    }]
}
NOT_PLAIN = {'gop_consumer': [{'class': 'jobs:Lines', 'configs': {'when': object(), 3: 4}}]}
"""


@dataclass(frozen=True)
class Ended:
    exit_code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:  # JSON of any shape
        return json.loads(self.out)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    modules = {
        "jobs": JOBS,
        "settings": SEEDS_SETTING,
        "exits": "import os, sys\nprint('no licence', file=sys.stderr, flush=True)\nos._exit(3)\n",
        "dies": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
        "fails": "from jobs import Nothing\n",
        "leaves_thread": JOBS + "\nimport threading, time\nthreading.Thread(target=time.sleep, args=(900,)).start()\n",
        "forks": JOBS
        + "\nimport os, time\nopen('grandchild', 'w').write(str(pid)) if (pid := os.fork()) else time.sleep(900)\n",
    }
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def check(folder: Path, *arguments: str, **environ: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "consumerd", "check", *arguments],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def written(folder: Path, document: object) -> str:
    (folder / "c.json").write_text(json.dumps(document))
    return "c.json"


def entry(target: str, **changes: object) -> dict[str, object]:
    return {"class": target, **changes}


def test_a_good_configuration_is_one_line_for_each_consumer(folder: Path) -> None:
    config = written(folder, {"g": [entry("jobs:Lines", name="one"), entry("jobs:Lines", configs={"workers": 2})]})
    ended = check(folder, config)
    assert (ended.exit_code, ended.err) == (0, "")
    lines = [line for line in ended.out.splitlines() if not line.startswith("  ")]
    assert lines == [
        "g/one: jobs:Lines, source generator, 1 worker",
        "g/Lines: jobs:Lines, source generator, 2 workers",
    ]
    assert "  remark: it has no task_id" in ended.out


def test_the_seeds_setting_is_checked_word_for_word(folder: Path) -> None:
    ended = check(folder, "settings:KAFKA_SERVER_SETTING", "--no-probe")
    assert (ended.exit_code, ended.err) == (0, "")
    assert ended.out == "gop_consumer/LoginConsumer: jobs:LoginConsumer, source kafka, 16 workers\n"


def test_a_source_that_does_not_answer_is_a_warning(folder: Path) -> None:
    ended = check(folder, "settings:KAFKA_SERVER_SETTING")
    assert (ended.exit_code, ended.err) == (0, "")
    brokers = "localhost:1,localhost:2,localhost:3"
    said = " ".join(ended.out.split())
    assert f"warning: its source is not reachable now: none of the brokers at {brokers} answers (the client" in said


def test_a_source_that_answers_and_refuses_is_a_mistake(folder: Path, kafka: KafkaServer) -> None:
    keys = {"brokers": kafka.brokers, "topic_name": "no-such-topic", "consumer_group": "gop"}
    document = {"g": [entry("jobs:LoginConsumer", configs=keys)]}
    ended = check(folder, written(folder, document))
    assert (ended.exit_code, ended.out) == (2, "")
    assert f"c.json: g[0].configs: there is no topic no-such-topic at {kafka.brokers}: create it" in ended.err
    assert check(folder, "c.json", "--no-probe").exit_code == 0


@pytest.mark.parametrize(
    ("query", "exit_code", "said"),
    [
        ("SELECT name, calls AS at_once FROM partner", 0, "remark: its query has 'many' as at_once of wechat"),
        ("SELECT nam FROM partner", 2, "consumerd.limits.channel.numbers: its query failed: no such column: nam"),
        ("SELECT name, calls FROM partner", 2, "after the key it needs at_once or per_second"),
    ],
)
def test_the_query_of_a_limits_numbers_is_tried(folder: Path, query: str, exit_code: int, said: str) -> None:
    with closing(sqlite3.connect(folder / "numbers.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE partner (name TEXT, calls)")
        connection.execute("INSERT INTO partner VALUES ('wechat', 'many')")
    numbers = {"database": "numbers.sqlite", "query": query}
    limits = {"channel": {"at_once": 5, "numbers": numbers}, "nobodys": {"at_once": 1}}
    configs = {"brokers": "127.0.0.1:1", "topic_name": "t", "consumer_group": "g", "limits": ["channel"]}
    listing = entry("jobs:LoginConsumer", configs=configs)
    ended = check(folder, written(folder, {"consumerd": {"limits": limits}, "g": [listing]}))
    assert ended.exit_code == exit_code
    assert said in ended.out + ended.err
    assert ("limit nobodys\n  remark: no consumer lists it" in ended.out) is (exit_code == 0)


def test_every_mistake_of_every_consumer_is_found_in_one_go_in_order(folder: Path) -> None:
    document = {
        "g": [
            entry("jobs:Linse"),
            {"module": "jobz", "class": "Lines", "name": "jobz"},
            entry("jobs:NoConsumer"),
            entry("fails:Lines", name="fails"),
            entry("exits:Lines", name="exits"),
            entry("dies:Lines", name="dies"),
            entry("jobs:Lines", name="typed", configs={"workers": "3", "workres": 3, "url": "${UNSET_VARIABLE}"}),
            entry("jobs:Lines", name="typed", confgs={}),
            entry("jobs:LoginConsumer", configs={"brokers": "b:9092"}),
        ],
        "consumerd": {"parkng": "embedded"},
    }
    ended = check(folder, written(folder, document))
    assert ended.exit_code == 2
    assert ended.out == ""
    assert "Traceback" not in ended.err
    found = [line.removeprefix("c.json: ").split(": ", 1) for line in ended.err.splitlines()]
    assert [path for path, _ in found] == [
        "g[0].class",
        "g[1].module",
        "g[2].class",
        "g[3].class",
        "g[4].class",
        "g[5].class",
        "g[6].configs.workers",
        "g[6].configs.workres",
        "g[6].configs.url",
        "g[7]",
        "g[7].confgs",
        "g[8].configs.topic_name",
        "g[8].configs.consumer_group",
        "consumerd.parkng",
    ]
    sentences = dict(found)
    for path, part in {
        "g[0].class": "did you mean 'Lines'?",
        "g[1].module": "did you mean 'jobs'?",
        "g[2].class": "is not a consumer",
        "g[3].class": "ImportError: cannot import name 'Nothing' from 'jobs'",
        "g[4].class": "ended with exit code 3",
        "g[5].class": "was killed by SIGSEGV",
        "g[6].configs.workers": "write it without quotes",
        "g[6].configs.workres": "did you mean 'workers'?",
        "g[6].configs.url": "UNSET_VARIABLE is not set",
        "g[7]": "'typed-1', 'typed-2'",
    }.items():
        assert part in sentences[path], sentences[path]


def test_tracebacks_and_what_imports_printed_are_shown_on_request(folder: Path) -> None:
    config = written(folder, {"g": [entry("fails:Lines"), entry("exits:Lines", name="other")]})
    ended = check(folder, config, "--traceback")
    assert ended.exit_code == 2
    assert "    from jobs import Nothing" in ended.err
    assert "    no licence" in ended.err


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("mysql://a:${UNSET_VARIABLE}@h/d", "the environment variable UNSET_VARIABLE is not set"),
        ("oracle://a:b@h/d", "`parking` names a database of kind oracle"),
    ],
)
def test_a_parking_store_that_cannot_be_opened_is_a_mistake_once(folder: Path, url: str, part: str) -> None:
    group = [entry("jobs:Lines"), entry("jobs:Lines", name="other"), entry("fails:Lines", name="fails")]
    config = written(folder, {"g": group, "consumerd": {"parking": url}})
    ended = check(folder, config)
    assert (ended.exit_code, ended.out) == (2, "")
    fails, parking = ended.err.splitlines()
    assert fails.startswith("c.json: g[2].class: importing fails failed")
    assert parking.startswith(f"c.json: consumerd.parking: {part}")


def test_a_parking_store_that_does_not_run_is_a_remark_and_one_whose_options_are_wrong_a_mistake(folder: Path) -> None:
    config = written(folder, {"g": [entry("jobs:Lines")], "consumerd": {"parking": "mysql://a@127.0.0.1:9/d"}})
    ended = check(folder, config)
    assert ended.exit_code == 0
    assert "remark: the parking store mysql+pymysql://a@127.0.0.1:9/d cannot be used: " in ended.out
    assert "remark: the parking store" not in check(folder, config, "--no-probe").out
    config = written(folder, {"g": [entry("jobs:Lines")], "consumerd": {"parking": "mysql://a@h/d?ssl_mode=VERIFY"}})
    ended = check(folder, config)
    assert ended.exit_code == 2
    assert "ssl_mode" in ended.err


@pytest.mark.parametrize("url", ["oracle://a:hunter22@h/d", "mysql://a:hunter22@h:hunter22/d"])
def test_a_parking_url_that_no_store_understands_is_a_mistake_without_its_secret(folder: Path, url: str) -> None:
    config = written(folder, {"g": [entry("jobs:Lines")], "consumerd": {"parking": "${STORE}"}})
    ended = check(folder, config, STORE=url)
    assert ended.exit_code == 2
    assert ended.err.startswith("c.json: consumerd.parking: `parking` ")
    assert ended.err.count("\n") == 1
    assert "hunter22" not in ended.err


def test_json_holds_the_same_for_programs(folder: Path) -> None:
    wrong = check(folder, written(folder, {"g": [entry("jobs:Linse")]}), "--json")
    assert (wrong.exit_code, wrong.err) == (2, "")
    assert wrong.answer["is_valid"] is False
    assert [problem["path"] for problem in wrong.answer["problems"]] == ["g[0].class"]
    right = check(folder, written(folder, {"g": [entry("jobs:Lines")]}), "--json")
    assert (right.exit_code, right.answer["problems"]) == (0, [])
    assert [consumer["name"] for consumer in right.answer["consumers"]] == ["g/Lines"]


def test_a_secret_is_printed_nowhere(folder: Path) -> None:
    configs = {"topic_name": "${TOPIC}", "consumer_group": 3, "auto_offset_reset": "${TOPIC}", "brokers": "b"}
    config = written(folder, {"g": [entry("jobs:LoginConsumer", configs=configs)]})
    for more in ([], ["--json"], ["--traceback"]):
        ended = check(folder, config, *more, TOPIC="hunter2 hunter2")
        assert ended.exit_code == 2
        assert "hunter2" not in ended.out + ended.err


@pytest.mark.parametrize("name", ["gone.toml", "directory.toml", "fifo.toml", "broken.toml", "bytes.json", "x.yaml"])
def test_what_cannot_be_read_is_one_line(folder: Path, name: str) -> None:
    (folder / "directory.toml").mkdir()
    os.mkfifo(folder / "fifo.toml")
    (folder / "broken.toml").write_text("[[g")
    (folder / "bytes.json").write_bytes(b"\xff")
    ended = check(folder, name)
    assert (ended.exit_code, ended.out) == (2, "")
    assert ended.err.startswith(f"{name}: ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("settings:KAFKA_SERVER_SETTINGS", "did you mean 'KAFKA_SERVER_SETTING'?"),
        ("setings:KAFKA_SERVER_SETTING", "there is no module setings"),
        ("fails:X", "ImportError"),
        ("exits:X", "ended with exit code 3"),
        ("settings:NOT_PLAIN", "gop_consumer[0].configs.when"),
        ("settings:NOT_PLAIN", "the key 3 is not text"),
    ],
)
def test_a_python_object_that_cannot_be_had_is_said_clearly(folder: Path, name: str, part: str) -> None:
    ended = check(folder, name)
    assert (ended.exit_code, ended.out) == (2, "")
    assert part in ended.err
    assert "Traceback" not in ended.err


def test_a_module_that_leaves_a_thread_behind_does_not_hold_it_up(folder: Path) -> None:
    ended = check(folder, written(folder, {"g": [entry("leaves_thread:Lines")]}))
    assert (ended.exit_code, ended.err) == (0, "")


def test_nothing_that_an_import_started_is_left(folder: Path) -> None:
    ended = check(folder, written(folder, {"g": [entry("forks:Lines")]}))
    assert (ended.exit_code, ended.err) == (0, "")
    grandchild = int((folder / "grandchild").read_text())
    wait_until(lambda: not _runs(grandchild), 10, "the end of what the import forked")


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie: its new parent may take a while to reap it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_interrupt_ends_it_and_the_imports_that_hang(folder: Path) -> None:
    (folder / "hangs.py").write_text("import os, time\nopen('pid', 'w').write(f'{os.getpid()}.')\ntime.sleep(900)\n")
    config = written(folder, {"g": [entry("hangs:Lines")]})
    with subprocess.Popen(
        [sys.executable, "-m", "consumerd", "check", config], cwd=folder, stderr=subprocess.PIPE, text=True
    ) as checking:
        pid_file = folder / "pid"
        wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith("."), 30, "the import")
        checking.send_signal(signal.SIGINT)
        _, err = checking.communicate(timeout=30)
    assert checking.returncode == 130
    assert "Traceback" not in err
    wait_until(lambda: not _runs(int(pid_file.read_text().rstrip("."))), 10, "the end of the import")


def test_the_schema_is_printed_without_a_configuration(folder: Path) -> None:
    ended = check(folder, "--schema")
    assert ended.exit_code == 0
    assert ended.answer["title"] == "A configuration of consumerd"


def test_a_reader_that_leaves_early_hears_no_complaint(folder: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "consumerd", "check", "--schema"],
            cwd=folder,
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")
