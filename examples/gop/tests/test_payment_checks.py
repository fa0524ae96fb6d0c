"""Check payment status: asked by two schedules, settled once, never declined for want of an answer, never silent."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from consumerd.testing import ManualClock, Run, run_consumer
from gop_consumer import channel_client, database, payment_manager
from gop_consumer.channel_client import ChannelAwayError, Status, WrongAnswerError
from gop_consumer.consumers import payment_check_consumer
from gop_consumer.consumers.payment_check_consumer import PaymentCheckConsumer
from gop_consumer.payment_manager import Payment

HOUR = 60 * 60
BACK_OFF = {"back_off_time": 5, "max_back_off_time": 600, "expire_time": 72 * HOUR}


@dataclass
class Channel:
    """Says this, or raises it. asked: when."""

    clock: ManualClock
    says: Status | Exception = Status.PENDING
    asked: list[float] = field(default_factory=list)

    def ask(self, url: str, payment_id: int, amount: int, timeout_s: float) -> Status:
        self.asked.append(self.clock.wall())
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Channel:
    made = Channel(ManualClock())
    monkeypatch.setattr(channel_client, "ask", made.ask)
    return made


@pytest.fixture
def check(path: str, channel: Channel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Begins payments that are pending or unknown, and asks about them for the first time."""
    monkeypatch.setenv("GOP_DATABASE", f"sqlite:///{path}")
    monkeypatch.setattr(payment_check_consumer, "time", channel.clock.wall)

    def begin(status: Status, *ids: int, **limits: Any) -> Run:  # their keys
        ids = ids or (5,)
        with database.engine().begin() as connection:
            for each in ids:
                payment_manager.open_payment(connection, Payment(each, 7, "wechat", 600, status), account_id=1)
        configs = {"database": path, "channels": {"wechat": "https://wechat.example"}, **BACK_OFF}
        records = [{"payment_id": each, "channel": "wechat"} for each in ids]
        return run_consumer(PaymentCheckConsumer, records, configs=configs, limits=limits, clock=channel.clock)

    return begin


def pass_time(run: Run, seconds: int, step: int = 1) -> None:
    for _ in range(0, seconds, step):
        run.advance(step)


def payment(rows: sqlite3.Connection) -> Any:
    """Its status, and who settled it, as a tuple."""
    return rows.execute("SELECT status, settled_by FROM payment").fetchone()


def notified(rows: sqlite3.Connection) -> list[str]:
    bodies = rows.execute("SELECT body FROM payment_notification").fetchall()
    return [json.loads(body)["data"]["status"] for (body,) in bodies]


def test_a_payment_that_is_decided_is_settled_and_the_game_server_told(
    check: Callable[..., Run], channel: Channel, rows: sqlite3.Connection
) -> None:
    channel.says = Status.PAID
    assert check(Status.PENDING).done == 1
    assert (payment(rows), notified(rows)) == (("paid", "poll"), ["paid"])


@pytest.mark.parametrize(("status", "questions"), [(Status.PENDING, 4), (Status.UNKNOWN, 30)])
def test_unknown_payments_are_asked_sooner_than_pending_ones(
    check: Callable[..., Run], channel: Channel, status: Status, questions: int
) -> None:
    channel.says = status
    run = check(status)
    pass_time(run, 60)
    assert len(channel.asked) == pytest.approx(questions, abs=1)


def test_an_unknown_payment_that_turns_up_goes_on_as_pending(
    check: Callable[..., Run], channel: Channel, rows: sqlite3.Connection
) -> None:
    channel.says = Status.UNKNOWN
    run = check(Status.UNKNOWN)
    channel.says = Status.PENDING
    run.advance(2)
    assert payment(rows) == ("pending", None)
    run.advance(14)
    assert len(channel.asked) == 2
    run.advance(1)
    assert len(channel.asked) == 3


def test_a_channel_is_asked_as_often_as_it_allows(check: Callable[..., Run], channel: Channel) -> None:
    channel.says = Status.PAID
    run = check(Status.PENDING, *range(1, 21), channel={"by": "channel", "per_second": 10})
    pauses = [after - before for before, after in pairwise(channel.asked)]
    assert run.done == 20
    assert pauses == pytest.approx([0.1] * 19, abs=0.02)


def test_whoever_learns_it_first_settles_it(
    check: Callable[..., Run], channel: Channel, rows: sqlite3.Connection
) -> None:
    run = check(Status.PENDING)
    with database.engine().begin() as connection:
        owed = payment_manager.get_payment(connection, 5)
        assert owed is not None
        assert payment_manager.settle(connection, owed, Status.PAID, by="callback")
        assert not payment_manager.settle(connection, owed, Status.DECLINED, by="callback")
    channel.says = Status.DECLINED
    run.advance(15)
    assert (run.done, len(channel.asked)) == (1, 1)
    assert (payment(rows), notified(rows)) == (("paid", "callback"), ["paid"])


def test_a_callback_between_the_question_and_its_answer_counts(
    check: Callable[..., Run], channel: Channel, rows: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(url: str, payment_id: int, amount: int, timeout_s: float) -> Status:
        with database.engine().begin() as connection:
            owed = payment_manager.get_payment(connection, payment_id)
            assert owed is not None
            payment_manager.settle(connection, owed, Status.PAID, by="callback")
        return Status.DECLINED

    monkeypatch.setattr(channel_client, "ask", ask)
    assert check(Status.PENDING).done == 1
    assert (payment(rows), notified(rows)) == (("paid", "callback"), ["paid"])


@pytest.mark.parametrize("error", [ChannelAwayError("no answer"), WrongAnswerError("of another payment")])
def test_no_answer_is_never_declined_and_is_parked_in_the_end(
    check: Callable[..., Run], channel: Channel, rows: sqlite3.Connection, error: Exception
) -> None:
    channel.says = error
    run = check(Status.UNKNOWN)
    pass_time(run, 71 * HOUR, step=600)
    assert run.dead() == {}
    pass_time(run, 2 * HOUR, step=600)
    assert (payment(rows), notified(rows)) == (("unknown", None), [])
    [reason] = run.dead().values()
    assert "past expire_time" in reason


@pytest.mark.parametrize("away", [Status.UNKNOWN, ChannelAwayError("no answer")])
def test_a_payment_is_not_given_up_for_what_the_channel_says_once(
    check: Callable[..., Run], channel: Channel, rows: sqlite3.Connection, away: Status | Exception
) -> None:
    run = check(Status.PENDING)
    pass_time(run, 3 * HOUR, step=60)
    channel.says = away
    pass_time(run, HOUR, step=60)
    assert payment(rows) == ("pending", None)
    channel.says = Status.PAID
    pass_time(run, HOUR, step=60)
    assert payment(rows) == ("paid", "poll")


def test_a_channel_that_was_away_for_long_is_asked_on_from_its_first_answer(
    check: Callable[..., Run], channel: Channel, rows: sqlite3.Connection
) -> None:
    channel.says = ChannelAwayError("no answer")
    run = check(Status.UNKNOWN)
    pass_time(run, 5 * HOUR, step=60)
    channel.says = Status.UNKNOWN
    pass_time(run, HOUR, step=10)
    channel.says = Status.PAID
    pass_time(run, HOUR, step=10)
    assert payment(rows) == ("paid", "poll")


@pytest.mark.parametrize(("status", "hours"), [(Status.PENDING, 24), (Status.UNKNOWN, 2)])
def test_at_the_end_of_its_schedule_a_payment_is_parked_with_its_id(
    check: Callable[..., Run], channel: Channel, rows: sqlite3.Connection, status: Status, hours: int
) -> None:
    channel.says = status
    run = check(status)
    pass_time(run, (hours - 1) * HOUR, step=60)
    assert run.dead() == {}
    pass_time(run, 2 * HOUR, step=60)
    [reason] = run.dead().values()
    assert reason.startswith(f"the handler gave up: payment 5: still {status}")
    assert len(run.told("task_parked")) > 0
    assert payment(rows) == (status, None)


def test_the_report_counts_and_names(path: str, rows: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOP_DATABASE", f"sqlite:///{path}")
    with database.engine().begin() as connection:
        for number in range(1, 7):
            payment_manager.open_payment(connection, Payment(number, 7, "wechat", 600, Status.PENDING), account_id=1)
    rows.execute("UPDATE payment SET status = 'paid', settled_by = 'poll' WHERE payment_id IN (1, 2)")
    rows.execute("UPDATE payment SET status = 'paid', settled_by = 'callback' WHERE payment_id = 3")
    rows.execute("UPDATE payment_check SET state = 'done' WHERE payment_id <= 3")
    rows.execute("UPDATE payment_check SET state = 'dead' WHERE payment_id IN (4, 5)")
    with database.engine().connect() as connection:
        found = payment_manager.report(connection)
    assert found == payment_manager.Report(found=6, mended=2, by_callback=1, still_open=1, failed=(4, 5))


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b'{"status": "paid"}', b'{"status": "payed", "payment_id": 5, "amount": 600}',
     b'{"status": "paid", "payment_id": 6, "amount": 600}', b'{"status": "paid", "payment_id": 5, "amount": 6}'],
)  # fmt: skip
def test_an_answer_that_cannot_be_right_is_not_believed(answer: bytes) -> None:
    with pytest.raises(WrongAnswerError, match="payment 5"):
        channel_client.read(answer, 5, 600)


def test_an_answer_about_the_payment_is_believed() -> None:
    answer: dict[str, Any] = {"status": "declined", "payment_id": 5, "amount": 600}
    assert channel_client.read(json.dumps(answer).encode(), 5, 600) is Status.DECLINED


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The URL of a channel that answers one question so."""

    def answer_once(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer_once, args=(listening,))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def test_nonsense_in_the_place_of_an_http_answer_is_no_answer() -> None:
    with answering(b"nonsense\r\n\r\n") as url, pytest.raises(ChannelAwayError, match="no answer"):
        channel_client.ask(url, 1, 100, 5.0)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, WrongAnswerError),
        (401, WrongAnswerError),
        (429, WrongAnswerError),
        (500, ChannelAwayError),
        (503, ChannelAwayError),
    ],
)
def test_a_channel_that_refuses_a_question_is_not_down(code: int, error: type[Exception]) -> None:
    answer = f"HTTP/1.0 {code} no\r\nContent-Length: 0\r\n\r\n".encode()
    with answering(answer) as url, pytest.raises(error, match=f"payment 1: the channel answers {code}"):
        channel_client.ask(url, 1, 100, 5.0)
