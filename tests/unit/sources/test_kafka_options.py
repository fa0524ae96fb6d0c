"""The keys of a Kafka consumer, and the settings that its clients get."""

import pytest
from pydantic import ValidationError

from consumerd.sources.kafka.options import OWNED, KafkaOptions, admin_settings, consumer_settings, onlooker_settings

SEED = {"brokers": "broker-1:9092,broker-2:9092", "topic_name": "login_task", "consumer_group": "login_consumer"}


def options(**keys: object) -> KafkaOptions:
    return KafkaOptions.model_validate({**SEED, **keys})


def test_the_three_keys_of_the_seed_are_enough():
    settings = consumer_settings(options(), member=None)
    assert settings["bootstrap.servers"] == "broker-1:9092,broker-2:9092"
    assert settings["group.id"] == "login_consumer"
    assert settings["auto.offset.reset"] == "earliest"


def test_a_slot_joins_as_a_static_member_and_a_guest_as_a_dynamic_one():
    assert consumer_settings(options(), member="a1.group.name.0")["group.instance.id"] == "a1.group.name.0"
    assert "group.instance.id" not in consumer_settings(options(), member=None)


def test_offsets_are_never_committed_or_stored_by_the_client_itself():
    settings = consumer_settings(options(), member=None)
    assert (settings["enable.auto.commit"], settings["enable.auto.offset.store"]) == (False, False)


def test_a_key_with_a_dot_is_passed_to_librdkafka():
    keys = {"security.protocol": "SASL_SSL", "sasl.username": "gop", "fetch.min.bytes": 100_000}
    settings = consumer_settings(options(**keys), member=None)
    assert {key: settings[key] for key in keys} == keys


@pytest.mark.parametrize(("keys", "rests_ms"), [({}, 50), ({"fetch.queue.backoff.ms": 1000}, 1000)])
def test_a_full_queue_rests_for_a_moment_unless_the_configuration_says_otherwise(keys, rests_ms):
    assert consumer_settings(options(**keys), member=None)["fetch.queue.backoff.ms"] == rests_ms


def test_a_client_that_reads_no_records_connects_as_the_others_do_and_belongs_to_no_group():
    keys = {"security.protocol": "SASL_SSL", "sasl.username": "gop", "fetch.min.bytes": 100_000}
    settings = admin_settings(options(**keys))
    assert settings["sasl.username"] == "gop"
    assert "group.id" not in settings


def test_a_client_that_asks_for_the_groups_offsets_takes_no_seat_and_waits_for_no_transaction():
    settings = onlooker_settings(options(**{"isolation.level": "read_committed", "sasl.username": "gop"}))
    assert (settings["group.id"], settings["sasl.username"]) == ("login_consumer", "gop")
    assert "group.instance.id" not in settings
    assert settings["isolation.level"] == "read_uncommitted"


@pytest.mark.parametrize("key", sorted(OWNED))
def test_a_property_that_consumerd_must_set_itself_is_refused_with_what_to_do(key):
    with pytest.raises(ValidationError, match=f"`{key}` is .*, and cannot be set: {OWNED[key].split('`')[0].strip()}"):
        options(**{key: "x"})


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"topicname": "x"}, "`topicname` is not a known key"),
        ({"ssl.ca.location": ["a"]}, "`ssl.ca.location` is a list, and must be a text, a number or a boolean"),
        ({"brokers": ""}, "brokers"),
        ({"brokers": "a:9092,,b:9092"}, "empty address"),
        ({"topic_name": "^login.*"}, "topic_name"),
        ({"auto_offset_reset": "newest"}, "auto_offset_reset"),
        ({"session_timeout": 90}, r"max_poll_interval \(60\) must be at least session_timeout \(90\)"),
        ({"session_timeout": 0}, "session_timeout"),
    ],
)
def test_a_mistake_is_named(keys, sentence):
    with pytest.raises(ValidationError, match=sentence):
        options(**keys)


def test_blanks_around_addresses_do_not_matter():
    assert options(brokers=" a:9092 , b:9092").brokers == "a:9092,b:9092"
