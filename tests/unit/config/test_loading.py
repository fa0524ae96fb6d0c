"""From plain data to a Document, or to every mistake in it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.config.keys.worker_range import WorkerRange
from consumerd.config.loading import Validated, load, validate
from consumerd.config.plain import Written
from consumerd.config.problems import path_text
from consumerd.config.shape import Document, LimitBy
from consumerd.errors import ConfigurationError
from consumerd.model.limits import Numbers

ENVIRON = {"WORKERS": "8", "WORD": "eight", "PASSWORD": "hunter2", "SIZE": "1GiB"}

SEEDS_SETTING = {
    "gop_consumer": [
        {
            "module": "gop_consumer.consumers.login_consumer",
            "class": "LoginConsumer",
            "configs": {
                "workers": 16,
                "brokers": "broker-1:9092,broker-2:9092,broker-3:9092",
                "process_name": "gop_consumer",
                "topic_name": "login_task",
                "consumer_group": "login_consumer",
            },
        }
    ]
}


def validated(data: object) -> Validated:
    return validate(Written("f", "/etc/app", data), ENVIRON)


def document(data: object) -> Document:
    result = validated(data)
    assert result.problems == ()
    assert result.document is not None
    return result.document


def problems(data: object) -> dict[str, str]:
    """Sentences by path."""
    return {path_text(problem.path): problem.sentence for problem in validated(data).problems}


def entry(**changes: object) -> dict[str, object]:
    return {"module": "app.jobs", "class": "Job", **changes}


def configured(**configs: object) -> dict[str, Any]:
    return {"g": [entry(configs=configs)]}


def test_the_seeds_setting_is_valid_as_it_stands() -> None:
    [consumer] = document(SEEDS_SETTING).consumers
    assert str(consumer.full_name) == "gop_consumer/LoginConsumer"
    assert consumer.target == "gop_consumer.consumers.login_consumer:LoginConsumer"
    assert consumer.common.workers == 16
    assert consumer.configs == SEEDS_SETTING["gop_consumer"][0]["configs"]
    assert consumer.directory == Path("/etc/app")


def test_a_class_may_name_its_module() -> None:
    [consumer] = document({"g": [{"class": "app.jobs:Job"}]}).consumers
    assert (consumer.target, consumer.name, consumer.module_key) == ("app.jobs:Job", "Job", "class")


def test_an_entry_may_have_a_name() -> None:
    [consumer] = document({"g": [entry(name="nightly")]}).consumers
    assert str(consumer.full_name) == "g/nightly"


def test_configs_travel_unresolved_and_common_keys_are_resolved() -> None:
    [consumer] = document(configured(workers="${WORKERS}", url="mysql://${PASSWORD}@h")).consumers
    assert consumer.common.workers == 8
    assert consumer.configs == {"workers": "${WORKERS}", "url": "mysql://${PASSWORD}@h"}
    assert "hunter2" not in consumer.model_dump_json()


def test_workers_may_be_a_range_with_references() -> None:
    written = {"min": 2, "max": "${WORKERS}", "target_seconds": 5}
    [consumer] = document(configured(workers=written)).consumers
    assert consumer.common.scaling == WorkerRange(min=2, max=8, target_seconds=5.0)
    assert (consumer.common.fewest_workers, consumer.common.most_workers) == (2, 8)
    assert consumer.configs == {"workers": written}


def test_concurrency_may_be_found_out_within_a_range_with_references() -> None:
    for written, bounds in (
        (7, (7, 7)),
        ("auto", (1, 100)),
        ({"max": "${WORKERS}"}, (1, 8)),
        ({"min": 5, "max": 1024}, (5, 1024)),
    ):
        [consumer] = document(configured(concurrency=written)).consumers
        assert (consumer.common.at_once.min, consumer.common.at_once.max) == bounds


def test_a_size_may_be_text_or_a_reference() -> None:
    [consumer] = document(configured(max_memory="512MiB", memory_limit="${SIZE}")).consumers
    assert (consumer.common.max_memory, consumer.common.memory_limit) == (2**29, 2**30)


def test_whole_numbers_will_do_for_seconds() -> None:
    [consumer] = document(configured(expire_time=4)).consumers
    assert consumer.common.expire_time == 4.0


def test_defaults_stand_under_every_configs() -> None:
    [first, second] = document(
        {
            "g": [entry(configs={"workers": 2}), entry(name="other")],
            "consumerd": {"defaults": {"workers": 5, "brokers": "b"}},
        }
    ).consumers
    assert (first.common.workers, second.common.workers) == (2, 5)
    assert (first.defaulted, second.defaulted) == ({"brokers"}, {"workers", "brokers"})
    assert first.configs == {"workers": 2, "brokers": "b"}


def test_settings_have_defaults() -> None:
    settings = document({"g": [entry()], "consumerd": {"log": {"level": "debug"}}}).settings
    assert (settings.parking, settings.stop_timeout, settings.log.level) == (None, 25.0, "debug")


@pytest.mark.parametrize("parking", ["embedded", "postgresql://u@h/d", "${PARKING_URL_OF_LATER}", "file:/run/url"])
def test_parking_is_embedded_or_a_url_and_travels_as_written(parking: str) -> None:
    result = validated({"g": [entry()], "consumerd": {"parking": parking}})
    unresolved = [problem.sentence for problem in result.problems]
    assert all("is not set" in sentence or "cannot be read" in sentence for sentence in unresolved)
    assert unresolved or (result.document is not None and result.document.settings.parking == parking)


@pytest.mark.parametrize(
    ("data", "path", "part"),
    [
        ([], "", "must be a table"),
        (3, "", "must be a table"),
        ({}, "", "holds no group"),
        ({"consumerd": {}}, "", "holds no group"),
        ({"g": {"module": "m", "class": "C"}}, "g", "[[g]]"),
        ({"g": "x"}, "g", 'and is "x"'),
        ({"consumer": {"log": {}}}, "consumer", "did you mean 'consumerd'?"),
        ({"1g": [entry()]}, "1g", "a name is a letter"),
        ({"g": [3]}, "g[0]", "must be a table"),
        ({"g": [{"class": "C"}]}, "g[0].module", "is missing"),
        ({"g": [{"class": "mails.Mail"}]}, "g[0].module", "write class = 'mails:Mail', with a colon before the class"),
        ({"g": [{"module": "m"}]}, "g[0].class", "is missing"),
        ({"g": [{"module": "m", "class": "a:C"}]}, "g[0].class", "write the class alone, 'C'"),
        ({"g": [{"module": "m-n", "class": "C"}]}, "g[0].module", "must be a dotted name"),
        ({"g": [{"class": "m:9"}]}, "g[0].class", "must be a dotted name"),
        ({"g": [{"class": "m:_C"}]}, "g[0].class", "add a 'name'"),
        ({"g": [entry(module=3)]}, "g[0].module", "must be text, and is 3: write it in quotes"),
        ({"g": [entry(name="a/b")]}, "g[0].name", "a name is a letter"),
        ({"g": [entry(configs=[])]}, "g[0].configs", "must be a table"),
        ({"g": [entry(conifgs={})]}, "g[0].conifgs", "did you mean 'configs'?"),
        ({"g": [entry(active=True)]}, "g[0].active", "known are: module, class, name, configs"),
        ({"g": [entry(workers=3)]}, "g[0].workers", "belongs into 'configs'"),
        (configured(workers=0), "g[0].configs.workers", "must be at least 1 or a table, and is 0"),
        (configured(workers="16"), "g[0].configs.workers", "write it without quotes"),
        (configured(workers=True), "g[0].configs.workers", "must be a whole number or a table, and is true"),
        (configured(workers=1.5), "g[0].configs.workers", "must be a whole number or a table, and is 1.5"),
        (configured(workers={"min": 4, "max": 3}), "g[0].configs.workers", "max (3) must be at least min (4)"),
        (configured(workers={"min": 0, "max": 3}), "g[0].configs.workers.min", "must be at least 1, and is 0"),
        (configured(workers={"min": 1}), "g[0].configs.workers.max", "is missing"),
        (configured(workers={"max": "many"}), "g[0].configs.workers.max", "must be a whole number"),
        (configured(workers={"max": 3, "target_second": 5}), "g[0].configs.workers.target_second", "did you mean"),
        (configured(max_memory="lots"), "g[0].configs.max_memory", 'a text such as "512MiB", and is "lots"'),
        (configured(max_memory=5), "g[0].configs.max_memory", "must be at least"),
        (configured(memory_limit=True), "g[0].configs.memory_limit", "must be a whole number, and is true"),
        (configured(max_tasks=0), "g[0].configs.max_tasks", "must be at least 1"),
        (configured(workers="${WORD}"), "g[0].configs.workers", "must be a whole number"),
        (configured(workers="${NOWHERE}"), "g[0].configs.workers", "NOWHERE is not set"),
        (configured(back_off_time=True), "g[0].configs.back_off_time", "must be a number, and is true"),
        (configured(back_off_time=0), "g[0].configs.back_off_time", "must be more than 0"),
        (configured(expire_time=1e300), "g[0].configs.expire_time", "must be at most"),
        (configured(restart="alway"), "g[0].configs.restart", "did you mean 'always'?"),
        (configured(process_name="a\0b"), "g[0].configs.process_name", "must be text of the form"),
        (configured(back_off_time=9, max_back_off_time=3), "g[0].configs", "must be at least back_off_time"),
        (configured(back_off_time=9, ordered="key"), "g[0].configs", "exclude each other"),
        ({"g": [entry()], "consumerd": []}, "consumerd", "must be a table"),
        ({"g": [entry()], "consumerd": {"stop_timout": 3}}, "consumerd.stop_timout", "did you mean 'stop_timeout'?"),
        ({"g": [entry()], "consumerd": {"log": {"levl": "info"}}}, "consumerd.log.levl", "did you mean 'level'?"),
        ({"g": [entry()], "consumerd": {"log": {"level": "inf"}}}, "consumerd.log.level", "did you mean 'info'?"),
        ({"g": [entry()], "consumerd": {"parking": "postgres"}}, "consumerd.parking", "a database URL"),
        ({"g": [entry()], "consumerd": {"parking": "x://${NO}"}}, "consumerd.parking", "NO is not set"),
        ({"g": [entry()], "consumerd": {"defaults": 3}}, "consumerd.defaults", "must be a table"),
        ({"g": [entry()], "consumerd": {"defaults": {"workers": 0}}}, "consumerd.defaults.workers", "at least 1"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_fix(data: object, path: str, part: str) -> None:
    found = problems(data)
    assert list(found) == [path]
    assert part in found[path]


def test_all_mistakes_are_found_at_once_in_the_order_of_the_document() -> None:
    data = {
        "a": [{"class": "C", "nam": 1}, entry(configs={"workers": -1, "restart": "no"})],
        "consumerd": {"log": 3, "stop_timeout": "x"},
        "b": 3,
    }
    assert list(problems(data)) == [
        "a[0].module",
        "a[0].nam",
        "a[1].configs.workers",
        "a[1].configs.restart",
        "consumerd.log",
        "consumerd.stop_timeout",
        "b",
    ]


def test_names_of_a_group_are_unique_and_the_topics_tell_them_apart() -> None:
    found = problems(
        {"g": [entry(configs={"workers": 1, "topic": "pay"}), entry(configs={"workers": 2, "topic": "buy"})]}
    )
    assert list(found) == ["g[1]"]
    assert "'Job-pay', 'Job-buy'" in found["g[1]"]


def test_names_that_nothing_tells_apart_are_numbered() -> None:
    assert "'Job-1', 'Job-2', 'Job-3'" in problems({"g": [entry(), entry(), entry()]})["g[1]"]


def test_the_same_name_in_another_group_is_another_consumer() -> None:
    assert len(document({"g": [entry()], "h": [entry()]}).consumers) == 2


def test_a_consumer_with_mistakes_is_still_there_for_check() -> None:
    result = validated(configured(workers=0))
    assert result.problems
    assert result.document is not None
    assert [consumer.target for consumer in result.document.consumers] == ["app.jobs:Job"]


def test_no_sentence_holds_a_secret() -> None:
    assert "hunter2" not in str(problems(configured(process_name=3, restart="${PASSWORD}")))


KEYS = st.sampled_from(
    ["consumerd", "g", "module", "class", "name", "configs", "workers", "log", "defaults", "parking", ""]
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a:B", "${X}", "m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(ANYTHING)
def test_whatever_is_written_gives_a_document_or_problems_never_an_exception(data: object) -> None:
    result = validated(data)
    assert result.problems or result.document is not None
    assert all("\n" not in str(problem) for problem in result.problems)


def limited(*listed: str, **limits: object) -> dict[str, Any]:
    return {**configured(limits=list(listed)), "consumerd": {"limits": limits}}


def test_a_consumer_knows_by_what_its_limits_count_and_the_table_their_numbers() -> None:
    found = document(limited("channel", channel={"by": "channel", "at_once": 20}, total={"per_second": 0.5}))
    assert found.consumers[0].limits == {"channel": LimitBy(by="channel")}
    assert found.settings.limits["total"].fixed == Numbers(interval_ns=2_000_000_000)


@pytest.mark.parametrize(
    ("data", "path", "sentence"),
    [
        (limited("chanel", channel={"at_once": 1}), "g[0].configs.limits[0]", "did you mean 'channel'"),
        (limited("total"), "g[0].configs.limits[0]", "add a table [consumerd.limits.total]"),
        (limited(total={"by": "uid"}), "consumerd.limits.total", "limits nothing: add at_once or per_second"),
        (limited("total", total={"at_once": 0}), "consumerd.limits.total.at_once", "must be at least 1, and is 0"),
        (limited(total={"per_second": 0}), "consumerd.limits.total.per_second", "must be at least 0.001, and is 0"),
        (limited(**{"a b": {"at_once": 1}}), "consumerd.limits.a b", "is no name for a limit"),
        (limited(total={"at_once": 1, "burst": 2}), "consumerd.limits.total.burst", "is not a known key"),
        (limited(total=3), "consumerd.limits.total", "must be a table"),
    ],
)
def test_what_cannot_be_a_limit_is_said_once_where_it_stands(data: dict[str, Any], path: str, sentence: str) -> None:
    found = problems(data)
    [(where, said)] = found.items()
    assert sentence in said
    assert where.replace('"', "") == path


def test_who_only_asks_needs_no_token_of_the_page(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        '[consumerd.dashboard]\noperator_token = "${CONSUMERD_OPERATOR}"\n'
        '[[g]]\nmodule = "m"\nclass = "C"\nconfigs = {}\n'
    )
    with pytest.raises(ConfigurationError, match="CONSUMERD_OPERATOR"):
        load(str(file), {})
    assert load(str(file), {}, serves=False).settings.dashboard is None


def test_a_file_is_named_so_that_it_is_found_from_any_directory() -> None:
    data = {"g": [{"module": "m", "class": "C", "configs": {}}]}

    def config(origin: str) -> str:
        found = validate(Written(origin, "/etc/app/sub", data), {}).document
        assert found is not None
        return found.config

    assert config("sub/a.toml") == config("/etc/app/sub/a.toml") == "/etc/app/sub/a.toml"
    assert config("app:SETTING") == "app:SETTING"
