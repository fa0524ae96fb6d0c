"""What makes a topic's tasks themselves, also where the brokers do not tell the topic's uuid."""

from threading import Event

from confluent_kafka import Message

from consumerd.clock import SYSTEM_CLOCK
from consumerd.errors import SourceAwayError
from consumerd.model.suspects import id_at
from consumerd.model.task import TaskId
from consumerd.sources.kafka.identity import Identity, IdentityQuestion
from consumerd.sources.kafka.partition import AssignedPartition, KafkaBatch
from servers.waiting import wait_until

KNOWN = Identity("logins", "uuid")
UNKNOWN = Identity("logins", "-")
PATIENCE_S = 60.0


def message(offset: int, milliseconds: int) -> Message:
    return Message(topic="logins", partition=0, offset=offset, value=b"{}", timestamp=(1, milliseconds))


def is_skipped(identity: Identity, record: Message, parked: TaskId) -> bool:
    ids = frozenset({parked})
    return record.offset() in identity.positions(0, ids) and identity.is_parked(record, ids)


def test_with_a_uuid_the_offset_tells_a_task():
    assert KNOWN.task(message(5, 100)).id == "logins:uuid:0:5"
    assert is_skipped(KNOWN, message(5, 100), TaskId("logins:uuid:0:5"))
    assert not is_skipped(KNOWN, message(5, 100), TaskId("logins:another-uuid:0:5"))
    assert not is_skipped(KNOWN, message(5, 100), TaskId("logins:uuid:1:5"))


def test_without_a_uuid_a_record_of_another_time_at_the_same_offset_is_another_task():
    first, second = UNKNOWN.task_id(message(5, 100)), UNKNOWN.task_id(message(5, 101))
    assert first != second
    assert is_skipped(UNKNOWN, message(5, 100), first)
    assert not is_skipped(UNKNOWN, message(5, 101), first)


def test_without_a_uuid_nothing_is_skipped_by_its_offset_alone():
    assert not is_skipped(UNKNOWN, message(5, 100), TaskId("logins:uuid:0:5"))
    assert not is_skipped(UNKNOWN, message(5, 100), TaskId("logins:-:0:5"))


def test_what_was_parked_without_a_uuid_is_skipped_once_it_is_known():
    assert is_skipped(KNOWN, message(5, 100), UNKNOWN.task_id(message(5, 100)))
    assert not is_skipped(KNOWN, message(5, 101), UNKNOWN.task_id(message(5, 100)))


def test_a_batch_of_a_topic_without_a_uuid_names_its_tasks_as_they_are_parked():
    records = [message(5, 100), message(7, 101)]
    batch = KafkaBatch(AssignedPartition(0, 0), records, 8, identity=UNKNOWN, payload_limit_bytes=1000)
    assert [id_at(batch.identities(), offset) for offset in (5, 7)] == [batch.task(0).id, batch.task(1).id]


def test_a_question_without_an_answer_is_waited_for_once():
    may_answer = Event()

    def ask() -> Identity:
        may_answer.wait(PATIENCE_S)
        return KNOWN

    question = IdentityQuestion("logins", ask, SYSTEM_CLOCK, patience_s=0.01)
    assert question.awaited() == UNKNOWN
    assert question.awaited() == UNKNOWN
    may_answer.set()
    wait_until(lambda: question.identity == KNOWN, PATIENCE_S, "the answer is not taken")
    question.forget()
    wait_until(lambda: question.identity == KNOWN, PATIENCE_S, "what was forgotten is not asked again")


def test_an_answer_that_is_another_is_kept_apart_until_it_is_taken():
    newer = Identity("logins", "another")
    answers = [KNOWN, KNOWN, UNKNOWN, newer]
    question = IdentityQuestion("logins", lambda: answers.pop(0), SYSTEM_CLOCK)
    assert question.awaited() == KNOWN
    confirmed_at = question.confirmed_at
    for left in (2, 1, 0):
        wait_until(lambda: question.ask_again() or len(answers) <= left, PATIENCE_S, "it is not asked")  # noqa: B023
    wait_until(lambda: question.newer, PATIENCE_S, "another answer is not noticed")
    assert question.identity == KNOWN
    assert question.confirmed_at > confirmed_at
    question.take_newer()
    assert (question.identity, question.newer) == (newer, None)


def test_a_refused_question_is_asked_again_when_partitions_come():
    answers: list[Identity | None] = [None, KNOWN]

    def ask() -> Identity:
        answer = answers.pop(0)
        if answer is None:
            raise SourceAwayError("no controller answers")
        return answer

    question = IdentityQuestion("logins", ask, SYSTEM_CLOCK)
    assert question.awaited() == UNKNOWN
    question.awaited()
    assert not answers
