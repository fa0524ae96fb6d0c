import pytest, itertools
from integration.test_kafka_source import *
@pytest.mark.parametrize("n", range(6))
def test_rep(n, restartable_kafka, kafka_topic, group):
    topic = kafka_topic(partitions=2)
    produce(restartable_kafka.brokers, topic, numbered(100, 2))
    member = Member(Seat(restartable_kafka.brokers, topic, group, "0.test.m.0")).start()
    member.until_handled(100)
    restartable_kafka.stop()
    wait_until(lambda: member.away, PATIENCE_S, "the source was not away")
    restartable_kafka.start()
    produce(restartable_kafka.brokers, topic, numbered(100, 2))
    member.until_handled(200)
    member.stop()
    c = committed(restartable_kafka.brokers, topic, group)
    if c != {0:100,1:100} or len(member.handled)!=200:
        print(c, len(member.handled))
        for f in member.seat.facts: print(f)
        raise AssertionError
