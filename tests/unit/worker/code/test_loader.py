"""From an entry to a class, its source and its options."""

import email
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.config.shape import ConsumerSettings, LimitBy
from consumerd.consumers import BaseConsumer
from consumerd.errors import ConfigurationError, LoadError
from consumerd.worker.code.loader import LoadedConsumer, examine_consumer, load_consumer, prepare_class

MODULE = """
from pydantic import BaseModel, Field, model_validator
from consumerd import BaseConsumer, BatchTask, KafkaBaseConsumer, MySQLBaseConsumer
from consumerd import ScheduleBaseConsumer, TableBaseConsumer

class Login(KafkaBaseConsumer):
    def handle_task(self, offset, record): ...

class Events(MySQLBaseConsumer):
    def __init__(self, worker_id, **kwargs):
        self.back_off_time = 10
        super().__init__(worker_id, **kwargs)
    def get_next_batch(self): return []
    def handle_task(self, offset, record): ...

class Shared(Events):
    def get_next_batch(self): return [row for row in () if self.shard.owns(row)]

class Numbered(Events):
    @property
    def own(self): return {"index": self.shard.index, "count": self.shard.count}

class Rows(TableBaseConsumer):
    def handle_task(self, offset, record): ...

class KeyedRows(Rows):
    def task_key(self, record): return record["uid"]

class KeyedShared(Shared):
    def task_key(self, record): return record["uid"]

class Lines(BaseConsumer):
    def iterate_task(self): yield 0, {}
    def handle_task(self, offset, record): ...

class Yielding(Login):
    def iterate_task(self): yield from self.consume_client.consume()

class Nightly(ScheduleBaseConsumer):
    def handle_task(self, offset, record): ...

class Known(Lines):
    def task_id(self, record): return record["line"]

class Declared(Lines):
    class Config(BaseModel):
        app_id: int
        hosts: tuple[str, ...] = ("localhost",)

class ByHook(Login):
    def limit_key(self, name, record): return record["channel"]

class Deal(BaseModel):
    channel: str
    @property
    def server(self): return self.channel

class Typed(Login):
    def handle_task(self, offset, record: Deal): ...

class TypedRows(Rows):
    def handle_task(self, offset, record: Deal): ...

class Mail(BaseModel):
    address: str
    region: str = "eu"
    sent_by: str = Field(alias="sentBy")

class TypedMails(Rows):
    def handle_task(self, offset, record: Mail): ...

class MadeUp(Mail):
    @model_validator(mode="before")
    def make(cls, values): return {"address": "a", "sentBy": "b", **values}

class MadeUpMails(Rows):
    def handle_task(self, offset, record: MadeUp): ...

class TypedBatch(KafkaBaseConsumer):
    def handle_batch(self, tasks: list[BatchTask[Deal]]): ...

class Unfinished(KafkaBaseConsumer): ...

class Batched(KafkaBaseConsumer):
    def handle_batch(self, tasks): ...

class Keyed(Batched):
    def coalesce_key(self, record): return record["uid"]

class OneBatch(KafkaBaseConsumer):
    def handle_batch(self, records): ...

class Both(Batched):
    def handle_task(self, offset, record): ...
    def around_task(self, offset, record): ...

class BatchedLines(BaseConsumer):
    def iterate_task(self): yield 0, {}
    def handle_batch(self, tasks): ...

class NoOffset(KafkaBaseConsumer):
    def handle_task(self, record: dict) -> None: ...

class OtherNames(KafkaBaseConsumer):
    async def handle_task(self, number, message): ...

class OneMore(KafkaBaseConsumer):
    def handle_task(self, offset, record, extra): ...

class AnyNames(KafkaBaseConsumer):
    def handle_task(self, **kwargs): ...

class Awaited(KafkaBaseConsumer):
    async def handle_task(self, offset, record, *, tries=3): ...

class Static(KafkaBaseConsumer):
    @staticmethod
    def handle_task(offset, record): ...

class Narrow(Lines):
    def __init__(self, worker_id):
        super().__init__(worker_id)

class Banned(Exception): ...

class Judging(Lines):
    retry_on = (OSError,)
    dead_on = Banned

class Careless(Lines):
    dead_on = ("KeyError",)

class Outer:
    class Inner(Lines): ...

class Plain: ...
number = 3
"""

KAFKA = {"brokers": "b:9092", "topic_name": "t", "consumer_group": "c"}


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory of user code, taken off the import path afterwards."""
    (tmp_path / "jobs_pkg").mkdir()
    (tmp_path / "jobs_pkg" / "__init__.py").touch()
    (tmp_path / "jobs_pkg" / "jobs.py").write_text(MODULE)
    (tmp_path / "jobs_pkg" / "raises.py").write_text("raise RuntimeError('no\\ndatabase')\n")
    (tmp_path / "jobs_pkg" / "leaves.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "jobs_pkg" / "broken.py").write_text("\nclass = 3\n")
    (tmp_path / "jobs_pkg" / "imports_broken.py").write_text("from jobs_pkg import broken\n")
    (tmp_path / "jobs_pkg" / "needs.py").write_text("import no_such_library\n")
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "jobs_pkg"]:
        del sys.modules[name]


def settings(directory: Path, target: str, **configs: object) -> ConsumerSettings:
    return ConsumerSettings(
        group="g",
        name="n",
        target=target if ":" in target else f"jobs_pkg.jobs:{target}",
        configs=configs,
        common=CommonKeys(),
        origin="f",
        path=("g", 0),
        directory=directory,
    )


def loaded(directory: Path, target: str, environ: dict[str, str] | None = None, **configs: object) -> LoadedConsumer:
    return load_consumer(settings(directory, target, **configs), environ or {})


def mistakes(directory: Path, target: str, **configs: object) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        loaded(directory, target, **configs)
    return list(caught.value.problems)


def not_loaded(directory: Path, target: str) -> LoadError:
    with pytest.raises(LoadError) as caught:
        loaded(directory, target)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_consumer_is_loaded_with_its_source_and_options(directory: Path) -> None:
    found = loaded(directory, "Login", **KAFKA, workers=3, **{"client.id": "x"})
    assert (found.consumer_class.__name__, found.kind.name) == ("Login", "kafka")
    assert found.options.topic_name == "t"
    assert found.options.properties == {"client.id": "x"}
    assert found.configs == {**KAFKA, "workers": 3, "client.id": "x"}
    assert found.remarks == ()


def test_a_nested_class_can_be_named(directory: Path) -> None:
    assert loaded(directory, "Outer.Inner").consumer_class.__qualname__ == "Outer.Inner"


def test_references_are_resolved_and_numbers_are_numbers(directory: Path) -> None:
    environ = {"GROUP": "hunter2", "SECONDS": "20", "N": "4", "URL": "pw:hunter3"}
    configs = {
        **KAFKA,
        "consumer_group": "${GROUP}",
        "session_timeout": "${SECONDS}",
        "workers": "${N}",
        "own": "${URL}",
    }
    found = loaded(directory, "Login", environ, **configs)
    assert (found.options.consumer_group, found.options.session_timeout, found.common.workers) == ("hunter2", 20.0, 4)
    assert (found.configs["workers"], found.configs["session_timeout"], found.configs["own"]) == (4, 20.0, "pw:hunter3")
    assert found.redactor.redact("hunter2 pw:hunter3") == "hunter2 ***"  # a group's name is no secret


def test_a_class_finds_a_number_where_workers_is_a_range(directory: Path) -> None:
    found = loaded(directory, "Login", {"MOST": "8"}, **KAFKA, workers={"min": 2, "max": "${MOST}"})
    assert found.common.most_workers == 8
    assert found.configs["workers"] == 2
    assert BaseConsumer(0, workers={"min": 2, "max": 8}).worker_count == 2


def test_workers_that_divide_the_keys_by_their_number_cannot_be_a_range(directory: Path) -> None:
    [mistake] = mistakes(directory, "Numbered", workers={"max": 8})
    assert mistake.startswith("f: g[0].configs.workers: must be one whole number: the query divides the rows by")
    assert not loaded(directory, "Numbered", workers=8).kind.traits.moves_ranges
    assert any("start anew" in remark for remark in loaded(directory, "Numbered", workers=8).remarks)


def test_workers_between_which_ranges_move_can_be_a_range(directory: Path) -> None:
    found = loaded(directory, "Shared", workers={"max": 8})
    assert (found.common.most_workers, found.kind.traits.moves_ranges) == (8, True)


def test_a_range_for_a_generator_is_remarked_on(directory: Path) -> None:
    assert any("stays at 2" in remark for remark in loaded(directory, "Known", workers={"min": 2, "max": 8}).remarks)


@pytest.mark.parametrize(
    ("target", "place", "part"),
    [
        ("jobs_pkg.job:Login", "module", "there is no module jobs_pkg.job in"),
        ("jobs_pkg.job:Login", "module", "did you mean 'jobs'?"),
        ("job_pkg.jobs:Login", "module", "did you mean 'jobs_pkg'?"),
        ("jobs_pkg.jobs.more:Login", "module", "there is no module jobs_pkg.jobs.more"),
        ("jobs_pkg.raises:Login", "module", "failed with RuntimeError: no database"),
        ("jobs_pkg.leaves:Login", "module", "failed with SystemExit: 3"),
        ("jobs_pkg.broken:Login", "module", "SyntaxError: invalid syntax (jobs_pkg/broken.py, line 2): see"),
        ("jobs_pkg.imports_broken:Login", "module", "SyntaxError: invalid syntax (jobs_pkg/broken.py, line 2): see"),
        ("jobs_pkg.needs:Login", "module", "No module named 'no_such_library'"),
        ("Logim", "class", "did you mean 'Login'?"),
        ("Nothing", "class", "has no Nothing: check the name"),
        ("Plain", "class", "is not a consumer"),
        ("number", "class", "is not a consumer"),
    ],
)
def test_a_class_that_cannot_be_had_is_one_sentence(directory: Path, target: str, place: str, part: str) -> None:
    error = not_loaded(directory, target)
    assert str(error).startswith(f"f: g[0].{place}: ")
    assert part in str(error)


@pytest.mark.parametrize("target", ["email:Login", "email.jobs:Login"])
def test_a_module_that_the_library_hides_is_told_from_it_by_its_file(directory: Path, target: str) -> None:
    (directory / "email.py").touch()
    sentence = str(not_loaded(directory, target))
    assert f"email is {email.__file__}, and {directory / 'email.py'} is hidden by it" in sentence


def test_what_the_import_raised_is_kept(directory: Path) -> None:
    assert isinstance(not_loaded(directory, "jobs_pkg.raises:Login").__cause__, RuntimeError)


def test_beside_a_class_that_is_misspelt_a_misspelt_common_key_is_said_too(directory: Path) -> None:
    found = examine_consumer(settings(directory, "Logn", worker=3, topic_name="t", own=1), {}).problems
    assert [problem.path[2:] for problem in found] == [("class",), ("configs", "worker")]
    assert "did you mean 'workers'?" in found[1].sentence


def test_a_consumer_of_batches_is_loaded(directory: Path) -> None:
    keys = {"batch_size": 500, "batch_linger": 0, "batch_across": True, "coalesce": {"by": ["uid"], "max_wait": 5.0}}
    assert loaded(directory, "Batched", **KAFKA, **keys).common.batch_size == 500
    assert loaded(directory, "Keyed", **KAFKA, coalesce={"keep": "oldest"}).common.coalesce is not None


@pytest.mark.parametrize(
    ("target", "configs", "mistakes_found"),
    [
        ("Login", {"coalesce": {"by": "uid"}}, [".configs.coalesce: is of no use: Login has no handle_batch; define"]),
        ("Login", {"batch_linger": 1}, [".configs.batch_linger: is of no use: Login has no handle_batch; define it"]),
        ("OneBatch", {}, [".class: OneBatch.handle_batch takes (self, records): define handle_batch(self, tasks)"]),
        (
            "Both",
            {},
            [
                ".class: Both has handle_batch and handle_task, which is of one task",
                ".class: Both has handle_batch and",
            ],
        ),
        ("BatchedLines", {}, [".class: BatchedLines has handle_batch, and its iterate_task gives one task at a time"]),
        ("Batched", {"concurrency": 2}, [".configs.concurrency: must be 1: Batched has handle_batch"]),
        ("Batched", {"concurrency": "auto"}, [".configs.concurrency: must be 1: Batched has handle_batch"]),
        ("Batched", {"batch_size": 1025}, [".configs.batch_size: must be at most 1024"]),
        ("Batched", {"coalesce": {}}, [".configs.coalesce.by: is missing: name a field of the record"]),
        ("Keyed", {}, [".configs: coalesce is missing: the class has a coalesce_key"]),
        ("Keyed", {"coalesce": {"by": "uid"}}, [".configs.coalesce.by: cannot be here: the class has a coalesce_key"]),
        ("Batched", {"coalesce": {"by": "uid", "quiet": 5}}, [".configs.coalesce: quiet (5) needs a max_wait"]),
        (
            "Batched",
            {"coalesce": {"by": "uid", "max_wait": 5}, "batch_linger": 5},
            [".configs: batch_linger (5) must be less than coalesce.max_wait (5)"],
        ),
        ("Batched", {"coalesce": {"by": "uid"}, "ordered": "key"}, [".configs: coalesce and ordered cannot be"]),
    ],
)
def test_what_cannot_go_together_with_batches(
    directory: Path, target: str, configs: dict[str, object], mistakes_found: list[str]
) -> None:
    known = {} if target == "BatchedLines" else KAFKA
    found = mistakes(directory, target, **known, **configs)
    assert len(found) == len(mistakes_found)
    for sentence, begin in zip(found, mistakes_found, strict=True):
        assert sentence.startswith(f"f: g[0]{begin}")


@pytest.mark.parametrize(
    ("target", "by", "sentence"),
    [
        ("Lines", None, "cannot be here: Lines.iterate_task hands over one task"),
        ("Batched", None, "count tasks one by one, and Batched has handle_batch: remove one of the two"),
        ("ByHook", "uid", "the limit 'total' is by the field 'uid', and ByHook has a limit_key"),
    ],
)
def test_what_cannot_go_together_with_limits(directory: Path, target: str, by: str | None, sentence: str) -> None:
    known = {} if target == "Lines" else KAFKA
    entry = settings(directory, target, **known, limits=["total"]).model_copy(
        update={"limits": {"total": LimitBy(by=by)}}
    )
    with pytest.raises(ConfigurationError) as raised:
        load_consumer(entry, {})
    assert sentence in str(raised.value)
    assert ".configs.limits: " in str(raised.value)


@pytest.mark.parametrize(
    ("target", "configs", "sentence"),
    [
        ("Typed", {"destination": "chanel"}, "destination: names the field 'chanel', which Deal does not have; did"),
        ("Typed", {"destination": "uid"}, "destination: names the field 'uid', which Deal does not have: it has chan"),
        ("TypedBatch", {"coalesce": {"by": ["channel", "id"]}}, "coalesce.by: names the field 'id', which Deal does"),
        ("Typed", {"limits": ["total"]}, "limits: the limit 'total' is by the field 'chanel', which Deal does not"),
        ("Rows", {"destination": "channel", "columns": ["id", "chanel"]}, "which its `columns` does not have; did you"),
        ("TypedRows", {"destination": "server", "columns": ["channel"]}, None),
        ("Typed", {"destination": "channel.name"}, None),
        ("Rows", {"destination": "channel", "columns": "*"}, None),
        ("Rows", {"destination": "channel"}, None),
        ("Login", {"destination": "channel"}, None),
    ],
)
def test_a_field_that_no_record_can_have_is_a_mistake(
    directory: Path, target: str, configs: dict[str, object], sentence: str | None
) -> None:
    known = {"database": "t.sqlite", "table": "t"} if "Rows" in target else KAFKA
    entry = settings(directory, target, **known, **configs).model_copy(
        update={"limits": {"total": LimitBy(by="chanel")} if "limits" in configs else {}}
    )
    if sentence is None:
        load_consumer(entry, {})
        return
    with pytest.raises(ConfigurationError) as raised:
        load_consumer(entry, {})
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("target", "configs", "sentence"),
    [
        (
            "TypedMails",
            {"columns": ["id", "sentBy"]},
            "columns: lacks a column for address, without which no row is the",
        ),
        (
            "TypedMails",
            {"columns": ["id"]},
            "columns: lacks columns for address, sent_by, without which no row is the M",
        ),
        (
            "TypedMails",
            {"columns": ["address", "sentBy"], "destination": "region"},
            "destination: names the field 'reg",
        ),
        ("TypedMails", {"columns": ["address", "sentBy"], "limits": ["total"]}, "'region', which its `columns` do not"),
        ("TypedMails", {"columns": ["address", "sentBy", "region"], "destination": "region"}, None),
        ("TypedMails", {"columns": ["address", "sent_by"]}, None),
        ("TypedMails", {"columns": "*", "destination": "region"}, None),
        ("TypedMails", {"destination": "region"}, None),
        ("MadeUpMails", {"columns": ["id"], "destination": "region"}, None),
        ("Rows", {"columns": ["id"]}, None),
    ],
)
def test_a_field_that_no_column_gives_is_a_mistake(
    directory: Path, target: str, configs: dict[str, object], sentence: str | None
) -> None:
    entry = settings(directory, target, database="t.sqlite", table="t", **configs).model_copy(
        update={"limits": {"total": LimitBy(by="region")} if "limits" in configs else {}}
    )
    if sentence is None:
        load_consumer(entry, {})
        return
    with pytest.raises(ConfigurationError) as raised:
        load_consumer(entry, {})
    assert sentence in str(raised.value)


def test_a_missing_hook_is_named_with_its_signature(directory: Path) -> None:
    assert mistakes(directory, "Unfinished", **KAFKA) == [
        "f: g[0].class: Unfinished has no handle_task: define handle_task(self, offset, record)"
    ]


@pytest.mark.parametrize(
    ("target", "takes"),
    [
        ("NoOffset", "(self, record)"),
        ("OtherNames", "(self, number, message)"),
        ("OneMore", "(self, offset, record, extra)"),
    ],
)
def test_a_handler_that_cannot_be_called_is_a_mistake(directory: Path, target: str, takes: str) -> None:
    assert mistakes(directory, target, **KAFKA) == [
        f"f: g[0].class: {target}.handle_task takes {takes}: define handle_task(self, offset, record)"
    ]


@pytest.mark.parametrize("target", ["AnyNames", "Awaited", "Static"])
def test_a_handler_that_takes_an_offset_and_a_record_is_none(directory: Path, target: str) -> None:
    assert loaded(directory, target, **KAFKA).consumer_class.__name__ == target


@pytest.mark.parametrize(
    ("target", "configs", "why"),
    [
        ("Lines", {}, "Lines.iterate_task hands over one task, and is asked for the next when that has ended"),
        ("Yielding", KAFKA, "Yielding.iterate_task hands over one task, and is asked for the next when that has ended"),
        ("Nightly", {"every": 3600}, "a worker of a schedule has one task at a time"),
    ],
)
def test_a_source_of_one_task_at_a_time_runs_no_two_at_once(
    directory: Path, target: str, configs: dict[str, object], why: str
) -> None:
    for concurrency in (2, "auto"):
        assert mistakes(directory, target, **configs, concurrency=concurrency, ordered="key") == [
            f"f: g[0].configs.concurrency: must be 1: {why}; have more `workers` instead",
            f"f: g[0].configs.ordered: cannot be here: {why}, and so they are in order: leave it out",
        ]
    assert loaded(directory, target, **configs, concurrency=1).common.concurrency == 1


def test_rows_of_one_key_are_in_order_where_one_worker_has_them(directory: Path) -> None:
    table = {"database": "jobs.sqlite", "ordered": "key"}
    assert mistakes(directory, "Rows", **table) == [
        "f: g[0].configs.ordered: orders nothing: a row has no key of its own: define task_key(self, record) on Rows"
    ]
    why = "needs `workers = 1`: any of 2 workers claims rows of one key; have more `concurrency` instead"
    for workers in (2, {"max": 2}):
        assert mistakes(directory, "KeyedRows", **table, workers=workers) == [f"f: g[0].configs.ordered: {why}"]
    assert loaded(directory, "KeyedRows", **table, concurrency=4).remarks == ()
    assert loaded(directory, "Login", **KAFKA, ordered="key", workers=4).remarks == ()
    [remark] = loaded(directory, "KeyedShared", ordered="key", workers=2).remarks[:1]
    assert remark.startswith(
        "its 2 workers divide the rows by their id, and tasks of one key are in order within a worker"
    )


def test_a_bound_on_the_unsettled_below_the_concurrency_is_remarked(directory: Path) -> None:
    for concurrency in (9, {"max": 9}):
        remarks = [
            loaded(directory, "Login", **KAFKA, concurrency=concurrency, max_unsettled=most).remarks for most in (8, 9)
        ]
        why = "is below its concurrency, 9: no more than 8 of its tasks run at once in a worker"
        assert remarks == [(f"its max_unsettled, 8, {why}",), ()]


def test_a_batch_size_that_changes_nothing_is_remarked(directory: Path) -> None:
    [remark] = loaded(directory, "Login", **KAFKA, batch_size=500).remarks
    assert remark.startswith("its batch_size changes nothing")
    table = {"database": "jobs.sqlite", "table": "jobs"}
    assert loaded(directory, "KeyedRows", **table, batch_size=500).remarks == ()


def test_an_expiry_before_the_first_deferred_retry_is_remarked(directory: Path) -> None:
    [remark] = loaded(directory, "Login", **KAFKA, back_off_time=60, expire_time=30).remarks
    assert remark.startswith("its expire_time, 30 s, is over before its back_off_time, 60 s")
    assert loaded(directory, "Login", **KAFKA, back_off_time=60, expire_time=61).remarks == ()
    assert loaded(directory, "Login", **KAFKA, expire_time=30).remarks == ()


def test_options_are_checked_by_the_source_all_at_once(directory: Path) -> None:
    found = mistakes(directory, "Login", topic_nam="t", brokers=3, session_timeout=0, url="${UNSET}")
    assert [line.split(": ")[1] for line in found] == [
        "g[0].configs.topic_name",
        "g[0].configs.consumer_group",
        "g[0].configs.topic_nam",
        "g[0].configs.brokers",
        "g[0].configs.session_timeout",
        "g[0].configs.url",
    ]


def test_a_key_near_a_known_one_is_a_mistake_and_others_are_passed_on(directory: Path) -> None:
    [line] = mistakes(directory, "Lines", workrs=3, app_id=7)
    assert "g[0].configs.workrs: is not a known key; did you mean 'workers'?" in line
    assert any("configs.app_id" in remark for remark in loaded(directory, "Lines", app_id=7).remarks)


def test_a_config_model_closes_the_keys(directory: Path) -> None:
    found = mistakes(directory, "Declared", app_id="x", colour=1)
    assert ["app_id: must be a whole number" in found[0], "colour: is not a known key" in found[1]] == [True, True]


def test_a_config_model_gives_what_it_made_of_the_values(directory: Path) -> None:
    found = loaded(directory, "Declared", {"APP": "7"}, app_id="${APP}")
    assert found.configs == {"app_id": 7, "hosts": ("localhost",)}


def test_a_default_for_all_consumers_is_no_mistake_of_one_that_does_not_know_it(directory: Path) -> None:
    entry = settings(directory, "Declared", app_id=7, brokers="b")
    found = load_consumer(entry.model_copy(update={"defaulted": frozenset({"brokers"})}), {})
    assert found.configs["brokers"] == "b"
    assert not any("brokers" in remark for remark in found.remarks)


def test_a_mistake_in_a_default_is_reported_where_the_defaults_stand(directory: Path) -> None:
    entry = settings(directory, "Login", **{**KAFKA, "brokers": 3})
    entry = entry.model_copy(update={"defaulted": frozenset({"brokers"})})
    with pytest.raises(ConfigurationError, match=r"^f: consumerd\.defaults\.brokers: must be text"):
        load_consumer(entry, {})


def test_an_init_that_takes_no_configs_is_a_mistake(directory: Path) -> None:
    [line] = mistakes(directory, "Narrow", colour=1)
    assert "Narrow.__init__ does not take its configs" in line


def test_no_sentence_holds_what_a_reference_stood_for(directory: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(directory, "Login", {"SECRET": "hunter2"}, **{**KAFKA, "auto_offset_reset": "${SECRET}"})
    assert "hunter2" not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize(
    ("target", "workers", "part", "is_remarked"),
    [
        ("Lines", 1, "gives a task away", True),
        ("Lines", 1, "no task_id", True),
        ("Known", 1, "no task_id", False),
        ("Lines", 2, "each worker gets all of them", True),
        ("Lines", 1, "each worker gets all of them", False),
        ("Events", 4, "does not read self.shard", True),
        ("Events", 1, "does not read self.shard", False),
        ("Shared", 4, "does not read self.shard", False),
        ("Events", 1, "a back-off of its own (back_off_time)", True),
        ("Lines", 1, "a back-off of its own", False),
    ],
)
def test_what_a_class_cannot_guarantee_is_remarked(
    directory: Path, target: str, workers: int, part: str, is_remarked: bool
) -> None:
    remarks = loaded(directory, target, workers=workers).remarks
    assert any(part in remark for remark in remarks) == is_remarked, remarks


class InHand(BaseConsumer):
    """A class that needs no import."""

    def iterate_task(self) -> Iterator[tuple[int, object]]:
        yield 0, {}

    def handle_task(self, offset: int, record: object) -> None: ...


def test_a_class_in_hand_is_prepared_without_an_entry() -> None:
    found = prepare_class(InHand, {"app_id": "${APP}", "workers": 2, "connection": object}, {"APP": "seven"})
    assert found.configs == {"app_id": "seven", "workers": 2, "connection": object}
    with pytest.raises(ConfigurationError, match=r"^InHand: configs\.workers: must be at least 1"):
        prepare_class(InHand, {"workers": 0}, {})


def test_errors_are_named_in_the_configuration_or_in_the_class(directory: Path) -> None:
    names = ["KeyError", "jobs_pkg.jobs.Banned", "json:JSONDecodeError"]
    assert loaded(directory, "Lines", retry_on=names).common.retry_on == names
    assert loaded(directory, "Judging").consumer_class.retry_on == (OSError,)


@pytest.mark.parametrize(
    ("target", "configs", "sentence"),
    [
        ("Lines", {"dead_on": ["jobs_pkg.jobs.Bannd"]}, "configs.dead_on: 'jobs_pkg.jobs.Bannd' cannot be had"),
        ("Lines", {"retry_on": ["no_such.Timeout"]}, "configs.retry_on: 'no_such.Timeout' cannot be had"),
        ("Lines", {"retry_on": ["Timeout"]}, "'Timeout' is no error of Python's own: write its module too"),
        ("Lines", {"retry_on": ["jobs_pkg.jobs.Lines"]}, "which is no class of errors"),
        ("Lines", {"retry_on": ["KeyError"], "dead_on": ["builtins.KeyError"]}, "KeyError is in retry_on and in"),
        ("Careless", {}, "class: dead_on of the class is 'KeyError', which is no class of errors"),
    ],
)
def test_what_is_no_error_is_complained_of(
    directory: Path, target: str, configs: dict[str, object], sentence: str
) -> None:
    [mistake] = mistakes(directory, target, **configs)
    assert sentence in mistake


def test_traces_without_their_extra_are_a_mistake(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = {"traces": {"sample": 0.5}}
    assert loaded(directory, "Lines", **traces).common.traces is not None
    monkeypatch.delattr("consumerd.worker.traces.exporting")
    monkeypatch.delitem(sys.modules, "consumerd.worker.traces.exporting")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    (sentence,) = mistakes(directory, "Lines", **traces)
    assert sentence.startswith("f: g[0].configs.traces: The key traces needs ")
    assert "opentelemetry-sdk" in sentence


def test_variables_of_traces_that_make_no_sense_are_a_mistake(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "many")
    (sentence,) = mistakes(directory, "Lines", traces={"sample": 0.5})
    assert sentence.startswith("f: g[0].configs.traces: OTEL_SPAN_LINK_COUNT_LIMIT must be a non-negative integer")
