"""What librdkafka reports, judged: above all, whose fencing it is."""

import pytest
from confluent_kafka import KafkaError

from consumerd.errors import SourceRefusedError
from consumerd.sources.kafka.health import ECHO_S, Health
from consumerd.sources.kafka.membership import Membership
from consumerd.testing.clock import ManualClock

FENCED = KafkaError(KafkaError.FENCED_INSTANCE_ID)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def health(clock: ManualClock) -> Health:
    return Health(Membership("logins", "broker", lambda fact: None, clock))


def check(health: Health) -> None:
    health.check(lambda: None)


def test_a_fencing_of_a_member_that_lost_nothing_is_anothers_and_final(health: Health):
    health.note_joined()
    health.note(FENCED)
    assert not health.must_join_anew
    health.note_alive()
    with pytest.raises(SourceRefusedError, match="FENCED"):
        check(health)


def test_a_fencing_after_a_loss_answers_what_was_sent_before_it(health: Health):
    health.note_lost()
    health.note(FENCED)
    assert health.must_join_anew
    check(health)
    health.note(FENCED)  # librdkafka says it with every call
    health.note(KafkaError(KafkaError._FATAL))
    check(health)


def test_a_fencing_soon_after_joining_anew_is_still_an_answer_to_the_lost_session(health: Health, clock: ManualClock):
    health.note_lost()
    clock.advance(10 * ECHO_S)  # so long the brokers were away
    health.note_joined()
    clock.advance(ECHO_S - 1)
    health.note(FENCED)
    assert health.must_join_anew


def test_a_fencing_long_after_joining_anew_is_anothers(health: Health, clock: ManualClock):
    health.note_lost()
    health.note_joined()
    clock.advance(ECHO_S)
    health.note_joined()  # further partitions prove nothing
    health.note(FENCED)
    assert not health.must_join_anew
    with pytest.raises(SourceRefusedError):
        check(health)


def test_one_loss_explains_one_fencing(health: Health):
    health.note_lost()
    health.note(FENCED)
    health.note_new_client()
    assert not health.must_join_anew
    health.note_joined()
    health.note(FENCED)
    with pytest.raises(SourceRefusedError):
        check(health)


def test_another_fatal_error_is_final_also_after_a_loss(health: Health):
    health.note_lost()
    health.note(KafkaError(KafkaError.UNSUPPORTED_VERSION, "too old", True))
    assert not health.must_join_anew
    with pytest.raises(SourceRefusedError):
        check(health)
