"""The keys of a Kafka consumer in `configs`, and the settings that its clients are made with. Pure.

The keys are the post's three, a few more, and any librdkafka property: a key with a dot is one, and passed on as it is
(TLS, SASL, fetch sizes), but for those that consumerd must set itself to keep its promises.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from consumerd.config.problems import KeyMistakesError, shown

Property = str | int | float | bool
"""The value of a librdkafka property."""

OWNED = {
    "bootstrap.servers": "use the key `brokers`",
    "metadata.broker.list": "use the key `brokers`",
    "group.id": "use the key `consumer_group`",
    "auto.offset.reset": "use the key `auto_offset_reset`",
    "session.timeout.ms": "use the key `session_timeout`, in seconds",
    "max.poll.interval.ms": "use the key `max_poll_interval`, in seconds",
    "group.instance.id": "each slot has one of its own",
    "group.protocol": "consumers join by the classic protocol",
    "group.remote.assignor": "consumers join by the classic protocol",
    "partition.assignment.strategy": "partitions move cooperatively",
    "enable.auto.commit": "offsets are committed when their tasks are finished",
    "auto.commit.enable": "offsets are committed when their tasks are finished",
    "auto.commit.interval.ms": "offsets are committed every `settle_interval` seconds",
    "enable.auto.offset.store": "offsets are committed when their tasks are finished",
    "offset.store.method": "offsets are kept by the broker",
    "enable.partition.eof": "the end of a partition is where its lag is zero",
    "max.poll.records": "a worker takes so many at once as it handles in `settle_interval`",
    "share.acknowledgement.mode": "consumers join by the classic protocol",
}
"""librdkafka properties that may not be configured, and what to do instead."""

DURATION = Field(gt=0, le=86_400)

_DEFAULTS: dict[str, Property] = {
    "client.id": "consumerd",
    "enable.metrics.push": False,  # half a megabyte of histograms for each client, for brokers that may ask for them
}
"""What every client has where the configuration does not say otherwise."""


class KafkaOptions(BaseModel):
    """Options of a Kafka source. Every other key in it is a librdkafka property."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    brokers: Annotated[str, Field(min_length=1)] = Field(
        description="The addresses of some brokers, `host:port`, several separated by commas."
    )
    topic_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = Field(
        description="The topic that is consumed."
    )
    consumer_group: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        description="The consumer group whose members share the topic's partitions, and whose offsets are committed."
    )
    auto_offset_reset: Literal["earliest", "latest", "error"] = Field(
        default="earliest",
        description="Where to begin in a partition for which the group has no offset: `earliest`, `latest`, or "
        "`error`: it is refused, and `status` says so.",
    )
    session_timeout: Annotated[float, DURATION] = Field(
        default=10.0,
        description="For so many seconds the brokers keep the partitions of a member that has fallen silent; the "
        "worker that replaces a killed one has them at once.",
    )
    max_poll_interval: Annotated[float, DURATION] = Field(
        default=60.0,
        description="A worker that does not poll for so many seconds loses its partitions. It polls once a second also "
        "while a handler runs; at least `session_timeout`.",
    )

    @property
    def properties(self) -> dict[str, Property]:
        """The librdkafka properties among the keys."""
        return dict(self.model_extra or {})

    @field_validator("brokers")
    @classmethod
    def _brokers_are_addresses(cls, brokers: str) -> str:
        addresses = [address.strip() for address in brokers.split(",")]
        if not all(addresses):
            raise ValueError("brokers has an empty address: write host:port, several separated by commas")
        return ",".join(addresses)

    @model_validator(mode="after")
    def _timeouts_are_in_order(self) -> Self:
        if self.max_poll_interval < self.session_timeout:
            raise ValueError(
                f"max_poll_interval ({self.max_poll_interval:g}) must be at least session_timeout "
                f"({self.session_timeout:g})"
            )
        return self

    @model_validator(mode="after")
    def _other_keys_are_properties(self) -> Self:
        found = {key: _mistake(key, value) for key, value in (self.model_extra or {}).items()}
        mistakes = {key: sentence for key, sentence in found.items() if sentence is not None}
        if mistakes:
            raise KeyMistakesError(mistakes)
        return self


def _mistake(key: str, value: object) -> str | None:
    """What is wrong with a key that the model does not name, or None."""
    if "." not in key:
        return "is not a known key (a key with a dot is a librdkafka property): correct or remove it"
    if key in OWNED:
        return f"is {shown(value, (key,))}, and cannot be set: {OWNED[key]}"
    if not isinstance(value, Property):
        return f"is {shown(value, (key,))}, and must be a text, a number or a boolean"
    return None


def consumer_settings(options: KafkaOptions, *, member: str | None) -> dict[str, Property]:
    """A group member's settings. member: the static identity of its slot; None joins as a guest."""
    settings: dict[str, Property] = {
        **_DEFAULTS,
        "allow.auto.create.topics": False,
        "fetch.queue.backoff.ms": 50,  # a handler that has emptied a full queue would wait for up to a second
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
    """The settings of a client that reads no records. What only consumers heed it ignores, and tells nobody."""
    return {**_DEFAULTS, **options.properties, "bootstrap.servers": options.brokers, "log_level": 0}


def onlooker_settings(options: KafkaOptions) -> dict[str, Property]:
    """The settings of a client that asks for the group's offsets and never joins it."""
    return {
        **consumer_settings(options, member=None),
        "isolation.level": "read_uncommitted",  # the offsets as they stand: no open transaction is waited for
        "log_level": 0,  # the group's members say what is wrong
    }
