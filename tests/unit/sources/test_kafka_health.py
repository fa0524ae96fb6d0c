"""What librdkafka reports, judged: above all, whose fencing it is."""

import re

import pytest
from confluent_kafka import KafkaError, Message

from consumerd.errors import SourceRefusedError
from consumerd.sources.kafka.health import ECHO_S, GRACE_S, JOIN_S, Fencing, Health
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.testing.clock import ManualClock

FENCED = KafkaError(KafkaError.FENCED_INSTANCE_ID)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def health(clock: ManualClock) -> Health:
    options = KafkaOptions(brokers="broker", topic_name="logins", consumer_group="gop")
    return Health(options, range(2), lambda fact: None, clock)


def test_a_fencing_of_a_member_that_lost_nothing_is_anothers(health: Health):
    health.note_joined(2)
    health.note(FENCED)
    health.note_answer()
    assert health.fencing is Fencing.BY_ANOTHER
    assert health.is_final
    health.note_new_client()
    assert (health.fencing, health.is_final) == (None, False)


def test_a_fatal_error_with_the_brokers_words_for_a_fencing_is_one(health: Health):
    health.note(KafkaError(KafkaError._FATAL, f"Fatal error: {FENCED.str()}: Fatal consumer error: {FENCED.str()}"))
    assert health.fencing is Fencing.BY_ANOTHER


def test_a_fencing_after_a_loss_answers_what_was_sent_before_it(health: Health):
    health.note_lost()
    health.note(FENCED)
    assert health.fencing is Fencing.BY_ITSELF
    health.check()
    health.note(FENCED)  # librdkafka says it with every call
    health.note(KafkaError(KafkaError._FATAL))
    health.check()


def test_a_fencing_soon_after_joining_anew_is_still_an_answer_to_the_lost_session(health: Health, clock: ManualClock):
    health.note_lost()
    clock.advance(10 * ECHO_S)  # so long the brokers were away
    health.note_joined(2)
    clock.advance(ECHO_S - 1)
    health.note(FENCED)
    assert health.fencing is Fencing.BY_ITSELF


def test_a_fencing_long_after_joining_anew_is_anothers(health: Health, clock: ManualClock):
    health.note_lost()
    health.note_joined(2)
    clock.advance(ECHO_S)
    health.note_joined(2)  # further partitions prove nothing
    health.note(FENCED)
    assert health.fencing is Fencing.BY_ANOTHER


def test_one_loss_explains_one_fencing(health: Health):
    health.note_lost()
    health.note(FENCED)
    health.note_new_client()
    health.note_joined(2)
    health.note(FENCED)
    assert health.fencing is Fencing.BY_ANOTHER


def test_another_fatal_error_is_final_also_after_a_loss(health: Health):
    health.note_lost()
    health.note(KafkaError(KafkaError.UNSUPPORTED_VERSION, "too old", True))
    assert health.fencing is None
    with pytest.raises(SourceRefusedError):
        health.check()


# Away and refused


def reason(health: Health) -> str:
    return str(health.trouble)


def record(partition: int, error: int | None = None) -> Message:
    return Message(topic="logins", partition=partition, error=None if error is None else KafkaError(error))


def test_a_member_that_is_served_has_no_trouble(health: Health, clock: ManualClock):
    assert health.trouble is None
    health.note_joined(2)
    clock.advance(10 * JOIN_S)
    health.note(KafkaError(KafkaError._TRANSPORT))
    health.note(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
    assert health.trouble is None
    health.check()


def test_a_member_that_is_not_let_in_says_so_with_what_the_client_heard(health: Health, clock: ManualClock):
    health.note(KafkaError(KafkaError._TRANSPORT, "Connect to advertised:1 failed"))
    clock.advance(JOIN_S)
    assert (
        reason(health)
        == "the group gop at broker has not let this member in (the client says: Connect to advertised:1 failed)"
    )
    health.note_joined(2)
    assert health.trouble is None


def test_a_member_that_lost_its_session_is_away_until_it_is_let_in_again(health: Health):
    health.note_joined(2)
    health.note_lost()
    assert "has not let this member in" in reason(health)
    health.note_messages([record(0)])  # read ahead
    assert health.trouble is not None
    health.note_joined(2)
    assert health.trouble is None


def test_brokers_that_are_down_stay_away_though_records_read_ahead_come(health: Health):
    health.note_joined(2)
    health.note(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    health.note_messages([record(0)])
    assert reason(health).startswith("none of the brokers at broker answers")
    health.note_answer()
    assert health.trouble is None


def test_refused_credentials_are_named_also_when_no_broker_is_left(health: Health):
    health.note(KafkaError(KafkaError._AUTHENTICATION))
    health.note(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert "refuse the credentials" in reason(health)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "reading as the group gop is not allowed at broker: grant Read on it"),
        (KafkaError.INCONSISTENT_GROUP_PROTOCOL, "the group gop has members that share partitions in another way"),
        (KafkaError.INVALID_SESSION_TIMEOUT, "refuse a session timeout of 10 s: set `session_timeout`"),
        (KafkaError.GROUP_MAX_SIZE_REACHED, "the group gop has as many members as the brokers allow"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "reading the topic logins at broker is not allowed: grant Read on it"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "there is no topic logins at broker"),
        (KafkaError.POLICY_VIOLATION, "the brokers at broker do not serve logins to the group gop (POLICY_VIOLATION"),
    ],
)
def test_a_refusal_is_told_once_and_stands_until_the_group_lets_the_member_in(
    health: Health, clock: ManualClock, code: int, sentence: str
):
    health.note(KafkaError(code), 0)
    assert sentence in reason(health)
    health.check()
    clock.advance(GRACE_S)
    with pytest.raises(SourceRefusedError, match=re.escape(sentence)):
        health.check()
    health.note_joined(2)
    assert health.trouble is None
    health.check()


def test_a_member_that_may_not_join_again_says_so_though_its_commits_are_confirmed(health: Health):
    health.note_joined(2)
    health.note(KafkaError(KafkaError.GROUP_MAX_SIZE_REACHED), 0)
    health.note_messages([record(0)])
    health.note_answer()
    assert "as many members as the brokers allow" in reason(health)
    health.note_joined(0)
    assert health.trouble is None


def test_a_spare_member_of_the_group_is_not_told_that_its_topic_is_there(health: Health):
    health.note(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), 0)
    health.note_joined(0)
    assert "there is no topic logins" in reason(health)
    health.note_joined(1)
    assert health.trouble is None


def test_a_refusal_of_the_group_outlasts_records_read_before(health: Health):
    health.note_joined(2)
    health.note(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    health.note_messages([record(0), record(1)])
    assert "grant Read" in reason(health)
    health.note_answer()
    assert health.trouble is None


def test_a_refusal_of_a_partition_stands_until_a_record_of_it_comes(health: Health):
    health.note_joined(2)
    health.note(KafkaError(KafkaError._AUTO_OFFSET_RESET), 1)
    health.note_answer()
    health.note_messages([record(0), record(1, KafkaError._AUTO_OFFSET_RESET)])
    assert "the group gop has no usable position in a partition of logins" in reason(health)
    health.note_messages([record(1, KafkaError._PARTITION_EOF)])
    assert health.trouble is None


def test_a_refusal_of_a_partition_leaves_with_the_partition(health: Health):
    health.note_joined(2)
    health.note(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), 7)
    assert health.trouble is None


def test_the_grace_of_a_refusal_begins_when_it_is_first_heard(health: Health, clock: ManualClock):
    for _ in range(4):
        health.note(KafkaError(KafkaError.INVALID_SESSION_TIMEOUT), 0)
        clock.advance(GRACE_S / 4)
    with pytest.raises(SourceRefusedError):
        health.check()
