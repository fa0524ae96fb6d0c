"""What the clients are made with: librdkafka's settings from a source's options. Pure."""

from __future__ import annotations

from consumerd.sources.kafka.options import KafkaOptions, Property

_NO_CONNECTION_PREFIXES = (
    "enable.",
    "fetch.",
    "queued.",
    "auto.",
    "check.",
    "isolation.",
    "group.",
    "heartbeat.",
    "max.",
)
"""Properties of consumers only; a client that reads no records would warn of each."""

_CONNECTION_ONLY = ("enable.ssl.", "enable.sasl.", "enable.random.", "enable.metrics.", "max.in.flight")


_DEFAULTS: dict[str, Property] = {
    "client.id": "consumerd",
    "enable.metrics.push": False,  # half a megabyte of histograms for each client, for brokers that may ask for them
}
"""What every client has where the configuration does not say otherwise."""


def consumer_settings(options: KafkaOptions, *, member: str | None) -> dict[str, Property]:
    """A group member's settings. member: the static identity of its slot; None joins as a guest."""
    settings: dict[str, Property] = {
        **_DEFAULTS,
        "allow.auto.create.topics": False,
        "topic.metadata.refresh.interval.ms": 10_000,  # a topic that grows, or is made anew, is seen by then
        **options.properties,
        "bootstrap.servers": options.brokers,
        "group.id": options.consumer_group,
        "auto.offset.reset": options.auto_offset_reset,
        "session.timeout.ms": round(options.session_timeout * 1000),
        "max.poll.interval.ms": round(options.max_poll_interval * 1000),
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,  # the end lies behind transaction markers, which no record tells of
    }
    settings.setdefault("heartbeat.interval.ms", min(3000, round(options.session_timeout * 1000 / 3)))
    if member is not None:
        settings["group.instance.id"] = member
    return settings


def admin_settings(options: KafkaOptions) -> dict[str, Property]:
    """The settings of a client that reads no records: how to connect, and nothing else."""
    connection = {key: value for key, value in options.properties.items() if _is_about_connections(key)}
    return {**_DEFAULTS, **connection, "bootstrap.servers": options.brokers}


def onlooker_settings(options: KafkaOptions) -> dict[str, Property]:
    """The settings of a client that asks for the group's offsets and never joins it."""
    return {
        **admin_settings(options),
        "group.id": options.consumer_group,
        "enable.auto.commit": False,
        "isolation.level": "read_uncommitted",  # the offsets as they stand: no open transaction is waited for
        "log_level": 0,  # the group's members say what is wrong, and nobody listens here
    }


def reads_uncommitted(options: KafkaOptions) -> bool:
    """Whether records of open and aborted transactions are read too."""
    return options.properties.get("isolation.level") == "read_uncommitted"


def _is_about_connections(key: str) -> bool:
    return key.startswith(_CONNECTION_ONLY) or not key.startswith(_NO_CONNECTION_PREFIXES)
