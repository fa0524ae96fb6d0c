"""What librdkafka, or the file system, has against the properties of a consumer. Runs in probes.

It makes clients, which is nothing for a process that forks later. None of them has an address to connect to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from confluent_kafka import Consumer, KafkaException

from consumerd.config.problems import did_you_mean, shown
from consumerd.sources.kafka.options import KafkaOptions, Property
from consumerd.sources.kafka.topic import ClientLogger

_OFTEN_SET = (
    *("client.id", "client.rack", "client.dns.lookup", "debug", "broker.address.family", "check.crcs"),
    *("fetch.error.backoff.ms", "fetch.queue.backoff.ms", "fetch.wait.max.ms"),
    *("fetch.max.bytes", "fetch.message.max.bytes", "fetch.min.bytes"),
    *("heartbeat.interval.ms", "isolation.level", "max.partition.fetch.bytes", "message.max.bytes"),
    *("metadata.max.age.ms", "topic.metadata.refresh.interval.ms", "queued.max.messages.kbytes"),
    *("queued.min.messages", "receive.message.max.bytes", "reconnect.backoff.max.ms", "reconnect.backoff.ms"),
    *("sasl.mechanism", "sasl.mechanisms", "sasl.password", "sasl.username", "sasl.oauthbearer.config"),
    *("security.protocol", "socket.connection.setup.timeout.ms", "socket.keepalive.enable", "socket.timeout.ms"),
    *("ssl.ca.location", "ssl.ca.pem", "ssl.certificate.location", "ssl.endpoint.identification.algorithm"),
    *("ssl.key.location", "ssl.key.password", "ssl.keystore.location", "ssl.keystore.password"),
    *("connections.max.idle.ms", "enable.ssl.certificate.verification", "statistics.interval.ms"),
)
"""Names that one may have meant."""

_SEARCHED = "probe"
"""With this value of `ssl.ca.location` librdkafka looks for the system's certificates itself."""


def complaints(options: KafkaOptions) -> Iterator[tuple[str, str]]:
    """Each property that is wrong and what is wrong with it; no name for what is wrong with several together."""
    properties, sound = options.properties, {}
    for name, value in properties.items():
        sentence = _complaint(name, value)
        if sentence is None:
            sound[name] = value
        else:
            yield name, sentence
    words, _ = _heard(sound)
    if words:
        named = max((name for name in sound if name in words), key=len, default="")
        yield named, f"librdkafka refuses it: {words}: correct it" if named else f"librdkafka refuses: {words}"


def _complaint(name: str, value: Property) -> str | None:
    """What is wrong with one property by itself."""
    is_path = isinstance(value, str) and name.endswith((".location", ".keytab")) and value != _SEARCHED
    if is_path and not os.access(str(value), os.R_OK):
        return f"names a file that is not there, or may not be read, {shown(value)}: correct the path"
    words, warnings = _heard({name: value})
    if "No such configuration property" in words:
        near = did_you_mean(name, _OFTEN_SET) or ": correct it (the Java client's names may differ), or remove it"
        return f"is no property of librdkafka, and is {shown(value, (name,))}{near}"
    if words and not words.startswith("Failed to create"):
        return f"is {shown(value, (name,))}, which librdkafka refuses: {words}: correct it"
    if "is a producer property" in warnings:
        return f"is a property of producers, and is {shown(value, (name,))}: a consumer ignores it: remove it"
    return None


def _heard(properties: Mapping[str, Property]) -> tuple[str, str]:
    """Why a client with these properties cannot be made, and what it warns of."""
    lines: list[str] = []
    try:
        client = Consumer({"group.id": "check", **properties}, logger=ClientLogger(lines.append))
    except KafkaException as error:
        return " ".join(error.args[0].str().split()), ""
    client.poll(0)  # the log comes by a callback
    client.close()
    return "", "\n".join(lines)
