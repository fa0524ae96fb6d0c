"""One member of the consumer group: its client, its partitions, and what it commits.

All parts of the source work on one `Membership`. It has two locks, taken in this order: `client_lock`, since one thread
at a time polls the client, and `state`, over everything else, held for moments only.

A task is settled when the broker has confirmed a position above it, never before. Commits of watermarks are
asynchronous while running, synchronous when a partition leaves. One is on its way at a time; what finishes meanwhile
goes with the next. Runs in workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Condition, RLock

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumerd import events
from consumerd.errors import SourceAwayError, StoreAwayError
from consumerd.model.contract import is_overridden
from consumerd.sources.contract import SourceContext
from consumerd.sources.kafka.health import Health, words
from consumerd.sources.kafka.identity import IdentityQuestion
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.partition import AssignedPartition

OVERDUE_S = 10.0
"""After so long an unanswered commit is taken for lost, and the next one may go."""


class Membership:
    """What all parts of a source share. `send` and `send_now` need the client's lock; all else the state lock at most.

    client: the present one.
    loop_thread: the identity of the thread that fetches.
    is_iterated: whether the user's own `iterate_task` reads the messages.
    store_away: why some partitions are held still.
    is_commit_wanted: what is finished is to be sent by whoever has the client next.
    """

    client: Consumer
    loop_thread = 0
    store_away: StoreAwayError | None = None
    is_commit_wanted = is_closed = False
    _sent_at: float | None = None

    def __init__(self, context: SourceContext, question: IdentityQuestion) -> None:
        """context: of the source; question: for the identity of the topic that is read."""
        options = context.options
        assert isinstance(options, KafkaOptions)
        self.context = context
        self.options = options
        self.topic = options.topic_name
        self.question = question
        self.emit = context.emit
        self.clock = context.clock
        self.is_iterated = is_overridden(type(context.consumer), "iterate_task")
        self.client_lock = RLock()
        self.state = Condition(RLock())
        self.assigned: dict[int, AssignedPartition] = {}
        self.health = Health(options, self.assigned, context.emit, context.clock)

    @property
    def unsettled(self) -> int:
        """Tasks handed out and not confirmed by the broker as committed. Under the state lock."""
        return sum([assigned.ledger.taken - assigned.settled for assigned in self.assigned.values()])

    @property
    def trouble(self) -> SourceAwayError | StoreAwayError | None:
        """Why nothing comes, where that is because somebody does not answer."""
        return self.health.trouble or self.store_away

    def switch(self, act: Callable[[list[TopicPartition]], None], partitions: Iterable[AssignedPartition]) -> None:
        """Have the client pause or resume these partitions. Under its lock."""
        with self.errors_noted():
            act([TopicPartition(self.topic, assigned.partition) for assigned in partitions])

    @contextmanager
    def errors_noted(self) -> Iterator[None]:
        """What the client raises within is noted, and goes no further."""
        try:
            yield
        except KafkaException as error:
            self.health.note(error.args[0])

    @contextmanager
    def client_if_free(self) -> Iterator[bool]:
        """The client's lock, where no other thread has it and it is not closed: whether it is had."""
        has_lock = self.client_lock.acquire(blocking=False)
        try:
            yield has_lock and not self.is_closed
        finally:
            if has_lock:
                self.client_lock.release()

    # Commits

    @property
    def is_commit_outstanding(self) -> bool:
        """Whether an answer is being waited for."""
        return self._sent_at is not None and self.clock.monotonic() - self._sent_at < OVERDUE_S

    def begin_with(self, client: Consumer) -> None:
        """Another client takes the place of one that is given up, and with it the answers that it owed."""
        self.client = client
        self._sent_at = None

    def send_soon(self) -> None:
        """Send what is finished, unless another thread has the client: it sends it then."""
        self.is_commit_wanted = True
        with self.client_if_free() as is_free:
            if is_free:
                self.send()

    def send(self) -> None:
        """Send the watermarks that are not confirmed; the answer comes to `answered`."""
        if self.is_commit_outstanding:
            return
        if self._sent_at is not None:
            self._sent_at = None
            self.health.note_unanswered()
        with self.state:
            self.is_commit_wanted = False
            offsets = self._unsent(self.assigned.values())
            if not offsets:
                return
            self._sent_at = self.clock.monotonic()
        try:
            self.client.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self.answered(error.args[0], offsets)

    def send_now(self, leaving: Iterable[AssignedPartition]) -> bool:
        """Commit and wait for the answer: these partitions are about to leave. False when the answer was no."""
        with self.state:
            offsets = self._unsent(leaving)
        if not offsets:
            return True
        try:
            confirmed = self.client.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            return self._note_answer(error.args[0], offsets, leaving)
        return self._note_answer(None, confirmed, leaving)

    def answered(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """The client's callback for asynchronous commits."""
        self._sent_at = None
        self._note_answer(error, offsets, self.assigned.values())

    def _unsent(self, partitions: Iterable[AssignedPartition]) -> list[TopicPartition]:
        return [
            TopicPartition(self.topic, assigned.partition, position, assigned.topic_uuid)
            for assigned in partitions
            if (position := assigned.take_unsent()) is not None
        ]

    def _note_answer(
        self, error: KafkaError | None, offsets: list[TopicPartition], partitions: Iterable[AssignedPartition]
    ) -> bool:
        """Whether the answer was yes for all."""
        refused: dict[int, KafkaError] = {}
        with self.state:
            known = {assigned.partition: assigned for assigned in partitions}
            for place in offsets:
                problem = place.error or error
                if problem is not None:
                    refused[place.partition] = problem
                if place.partition in known:
                    known[place.partition].note_answer(place.offset, is_refused=problem is not None)
            self.state.notify_all()
        if refused:
            self._report(refused)
        else:
            self.health.note_answer()
        return not refused

    def _report(self, refused: dict[int, KafkaError]) -> None:
        problem = next(iter(refused.values()))
        if problem.code() in (KafkaError._NO_OFFSET, KafkaError._DESTROY):  # noqa: SLF001 - the client's own constants
            return  # nothing was to be committed, or the client is closing: not an answer of the broker
        self.health.note(problem)
        then = "it goes with the next commit"
        fact = events.settlement_refused(topic=self.topic, partitions=sorted(refused), error=words(problem), then=then)
        self.emit(fact)
