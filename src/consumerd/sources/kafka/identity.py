"""What makes a topic's tasks themselves, and the question for it. Runs in workers and the foreground.

Only the controller tells a topic's uuid, and not every cluster has one that answers: librdkafka's mock cluster, some
proxies and services, any cluster while it elects one; and brokers before 2.8 have no uuids. Consuming needs none of
it: a topic without one is told apart from an earlier topic of its name by the timestamps of its records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread

from confluent_kafka import Message

from consumerd.clock import Clock
from consumerd.errors import SourceError
from consumerd.model.task import Task, TaskId

UNKNOWN_UUID = "-"
UUID_LENGTH = 22
UNREADABLE_HEADERS = "unreadable-headers"
"""The name of the header that stands for those of a message whose headers cannot be read; its value says why."""

PATIENCE_S = 3.0
"""How long a first assignment waits for the uuid. A cluster that tells it does so in some milliseconds."""

AGAIN_S = 15.0
"""So often, while records come, it is asked whether the topic still is the one that it was.

Each worker asks: the group shares nothing out anew where a topic was deleted and made again between two polls.
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """A topic's name and its uuid, `-` where it is not known. A task without a uuid carries its record's timestamp."""

    topic: str
    uuid: str

    @property
    def is_known(self) -> bool:
        """Whether an offset is enough to tell a task from one of an earlier topic of this name."""
        return self.uuid != UNKNOWN_UUID

    def start(self, partition: int) -> str:
        """How the ids of all tasks of a partition begin."""
        return f"{self.topic}:{self.uuid}:{partition}:"

    def task_id(self, message: Message) -> TaskId:
        """The id of a message's task."""
        return self._known_id(message) if self.is_known else self._unknown_id(message)

    def positions(self, partition: int, ids: frozenset[TaskId]) -> frozenset[int]:
        """The positions, in this partition, of the tasks with these ids; `is_parked` has the last word on each."""
        starts = self.start(partition), Identity(self.topic, UNKNOWN_UUID).start(partition)
        ends = (task_id.removeprefix(start) for task_id in ids for start in starts if task_id.startswith(start))
        return frozenset(int(number) for end in ends if (number := end.partition("@")[0]).isdecimal())

    def is_parked(self, message: Message, ids: frozenset[TaskId]) -> bool:
        """Whether a message's task is among the parked ones, under the id that it has or had without a uuid."""
        return self._unknown_id(message) in ids or (self.is_known and self._known_id(message) in ids)

    def task(self, message: Message) -> Task:
        """The task of a message, its payload byte for byte."""
        partition, offset = message.partition(), message.offset()
        assert partition is not None  # what was received has its place
        assert offset is not None
        return Task(
            id=self.task_id(message),
            offset=offset,
            source=self.topic,
            shard=partition,
            position=offset,
            payload=message.value() or b"",
            key=message.key(),
            headers=_headers(message),
            is_tombstone=message.value() is None,
        )

    def _known_id(self, message: Message) -> TaskId:
        return TaskId(f"{self.topic}:{self.uuid}:{message.partition()}:{message.offset()}")

    def _unknown_id(self, message: Message) -> TaskId:
        _, milliseconds = message.timestamp()
        return TaskId(f"{self.topic}:{UNKNOWN_UUID}:{message.partition()}:{message.offset()}@{milliseconds}")


def is_uuid(text: str) -> bool:
    """Whether a text has the form of a topic's uuid: what others write beside an offset has not."""
    return len(text) == UUID_LENGTH and text.replace("-", "").replace("_", "").isalnum()


class IdentityQuestion:
    """Asks for a topic's identity in a thread of its own, so that a question without an answer stops nobody.

    has_news: set by whoever has received records since the last question.
    newer: the last answer, where it is not what was known: the topic was deleted and made anew.
    confirmed_at: when it was last certain that the topic was the one that is known, on the monotonic clock.
    """

    def __init__(
        self, topic: str, ask: Callable[[], Identity], clock: Clock, *, patience_s: float = PATIENCE_S
    ) -> None:
        """ask: gives the identity, or raises SourceError; it may take longer than `patience_s`, which is waited for."""
        self._unknown = Identity(topic, UNKNOWN_UUID)
        self._ask = ask
        self._clock = clock
        self._patience_s = patience_s
        self._found: Identity | None = None
        self._asked_at = 0.0
        self._is_worth_waiting = True
        self._answered = Event()
        self._answered.set()
        self.has_news = False
        self.newer: Identity | None = None
        self.confirmed_at = 0.0

    @property
    def identity(self) -> Identity:
        """What is known now."""
        return self._found or self._unknown

    def ask_again(self) -> None:
        """Ask, unless that is under way. Another answer than the first becomes `newer`."""
        if self._answered.is_set():
            self._answered.clear()
            self._asked_at = self._clock.monotonic()
            try:
                Thread(target=self._run, name="kafka-topic-id", daemon=True).start()
            except RuntimeError:  # the system refuses a thread: it is asked again later
                self._answered.set()

    def ask_now_and_then(self) -> None:
        """Ask, where records have come since, and it is some time since the last question."""
        if self.has_news and self._clock.monotonic() - self._asked_at >= AGAIN_S:
            self.has_news = False
            self.ask_again()

    def take_newer(self) -> float:
        """What is read from now on is of the newer topic; until when it was surely the one before."""
        self._found, self.newer = self.newer, None
        return self.confirmed_at

    def awaited(self) -> Identity:
        """The identity, waited for with patience, but not where the last wait was for nothing."""
        if self._found is None:
            self.ask_again()
        if self._is_worth_waiting:
            self._answered.wait(self._patience_s)
            self._is_worth_waiting = self._found is not None
        return self.identity

    def forget(self) -> None:
        """The topic may be made anew: what was told does not count any more, and is asked again."""
        self._found = self.newer = None
        self.ask_again()

    def _run(self) -> None:
        try:
            answer = self._ask()
            if self._found in (None, self._unknown, answer):
                self._found, self.confirmed_at = answer, self._asked_at
            elif answer.is_known:
                self.newer = answer
            self._is_worth_waiting = True
        except SourceError:
            pass  # whatever is wrong there, consuming tells of it where it matters
        finally:
            self._answered.set()


def _headers(message: Message) -> tuple[tuple[str, bytes | None], ...]:
    """The headers. Where the name of one is not UTF-8 the client gives none at all: then the only one says so.

    Asked a second time, the client would give pairs with nothing in them, which end a process that looks into one.
    """
    try:
        headers = message.headers() or ()
    except (SystemError, UnicodeDecodeError) as error:
        headers = [(UNREADABLE_HEADERS, str(error.__cause__ or error).encode())]
        message.set_headers(headers)
    pairs = headers.items() if isinstance(headers, dict) else headers
    return tuple((name, value.encode() if isinstance(value, str) else value) for name, value in pairs)
