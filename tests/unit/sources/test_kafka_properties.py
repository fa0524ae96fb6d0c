"""What librdkafka has against properties, said of each by its name, before anything runs."""

import re
from pathlib import Path

import pytest

from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.properties import complaints


def found(**properties: object) -> dict[str, str]:
    keys = {"brokers": "127.0.0.1:1", "topic_name": "logins", "consumer_group": "gop"}
    return dict(complaints(KafkaOptions.model_validate({**keys, **properties})))


@pytest.mark.parametrize(
    ("properties", "name", "sentence"),
    [
        (
            {"fetch.mesage.max.bytes": 9},
            "fetch.mesage.max.bytes",
            "is no property .*, and is 9; did you mean",
        ),
        ({"max.poll.records.of": 9}, "max.poll.records.of", "is no property of librdkafka, and is 9: correct it"),
        ({"fetch.min.bytes": -5}, "fetch.min.bytes", "is -5, which librdkafka refuses: .*outside allowed range"),
        ({"isolation.level": "dirty"}, "isolation.level", 'is "dirty", which librdkafka refuses'),
        (
            {"ssl.ca.location": "/no/ca.pem"},
            "ssl.ca.location",
            'a file that is not there, .*"/no/ca.pem": correct',
        ),
        ({"linger.ms": 5}, "linger.ms", "is a property of producers, and is 5: a consumer ignores it: remove it"),
        ({"fetch.max.bytes": 100}, "fetch.max.bytes", "librdkafka refuses it: .*must be >= `message.max.bytes`"),
        ({"sasl.jaas.config": "x"}, "sasl.jaas.config", "which librdkafka refuses: Java JAAS configuration"),
    ],
)
def test_a_property_is_named_with_its_value_and_what_is_wrong(properties, name, sentence):
    (mistake,) = found(**properties).items()
    assert mistake[0] == name
    assert re.search(sentence, mistake[1])


def test_all_mistakes_are_named_at_once_and_what_is_right_is_not():
    names = {"fetch.min.bytes": -5, "fetch.mim.bytes": 1, "linger.ms": 5}
    assert set(found(**names, **{"client.rack": "a", "fetch.wait.max.ms": 50})) == set(names)


def test_a_file_that_is_there_and_holds_no_certificate_is_named(tmp_path: Path):
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    mistakes = found(**{"security.protocol": "SSL", "ssl.certificate.location": str(path)})
    assert "librdkafka refuses it" in mistakes["ssl.certificate.location"]


def test_what_is_wrong_with_several_together_has_no_name_and_no_secret():
    mistakes = found(
        **{"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN", "sasl.password": "not-to-be-shown"}
    )
    assert list(mistakes) == [""] or list(mistakes) == ["sasl.password"]
    assert "sasl.username and sasl.password must be set" in "".join(mistakes.values())
    assert "not-to-be-shown" not in str(mistakes)
