"""Questions to brokers that are far away, away, or refuse."""

from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from consumerd.clock import monotonic
from consumerd.errors import SourceAwayError, SourceRefusedError
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.topic import Questions

OPTIONS = KafkaOptions(brokers="broker", topic_name="logins", consumer_group="gop")
SILENT = KafkaException(KafkaError(KafkaError._TIMED_OUT))


class Client:
    """A consumer to which nothing is said."""

    def consume(self, count: int, timeout_s: float) -> list[Message]:
        return []


CLIENT = cast("Consumer", Client())


@pytest.fixture
def questions() -> Questions:
    return Questions(OPTIONS)


def test_a_broker_that_is_far_away_is_given_longer_each_time(questions: Questions):
    waits: list[float] = []

    def question(patience_s: float) -> str:
        waits.append(patience_s)
        if patience_s < 1:
            raise SILENT
        return "answer"

    assert questions.ask(CLIENT, question, monotonic() + 60) == "answer"
    assert waits == [0.2, 0.4, 0.8, 1.6]


def test_a_refusal_that_the_client_hears_ends_the_question_at_once(questions: Questions):
    def question(patience_s: float) -> str:
        questions.note(KafkaError(KafkaError._AUTHENTICATION))
        raise SILENT

    with pytest.raises(SourceRefusedError, match="refuse the credentials"):
        questions.ask(CLIENT, question, monotonic() + 60)


def test_a_question_without_an_answer_says_what_the_client_heard(questions: Questions):
    def question(patience_s: float) -> str:
        questions.note(KafkaError(KafkaError._TRANSPORT, "Connect to b:1 failed"))
        raise SILENT

    with pytest.raises(SourceAwayError, match=r"did not answer in time \(the client says: Connect to b:1 failed\)"):
        questions.ask(CLIENT, question, monotonic())
