"""Payment notification to game server: signed, tried again, stopped, and told of. No server: `post` is a fake."""

from __future__ import annotations

import base64
import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

import pytest

from consumerd.testing import Run, run_consumer
from gop_consumer import database, notification_manager, webhook
from gop_consumer.consumers.payment_notification_consumer import PaymentNotificationConsumer
from gop_consumer.webhook import Answer

SECRET, PREVIOUS = (f"whsec_{base64.b64encode(bytes([number]) * 24).decode()}" for number in (1, 2))
RETRIES = {"back_off_time": 10, "max_back_off_time": 2 * 60 * 60, "expire_time": 4 * 24 * 60 * 60}
BODY = json.dumps({"type": "payment.settled", "data": {"payment_id": 5}})
TAKEN = Answer(200, 0.01)
DOWN = Answer(500, 0.02, "Internal Server Error")


@dataclass
class GameServer:
    """Gives these answers, one after the other, and then takes all."""

    answers: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)

    def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
        self.requests.append((url, body, headers))
        return self.answers.pop(0) if self.answers else TAKEN


@pytest.fixture
def game_server(monkeypatch: pytest.MonkeyPatch) -> GameServer:
    server = GameServer()
    monkeypatch.setattr(webhook, "post", server.post)
    return server


@pytest.fixture(autouse=True)
def app(rows: sqlite3.Connection) -> None:
    rows.execute("INSERT INTO webhook (app_id, url, secret) VALUES (7, 'https://seven.example/hooks', ?)", (SECRET,))


def notified(path: str, *ids: int, app_id: int = 7, **configs: Any) -> Run:  # any keys
    records = [{"id": each, "app_id": app_id, "payment_id": each, "body": BODY} for each in ids]
    return run_consumer(PaymentNotificationConsumer, records, configs={"database": path, **RETRIES, **configs})


def attempts(rows: sqlite3.Connection) -> list[tuple[Any, ...]]:  # columns of any type
    return rows.execute("SELECT notification_id, attempt, status, error FROM notification_attempt").fetchall()


def test_a_notification_verifies_by_the_reference_library(path: str, game_server: GameServer) -> None:
    reference = pytest.importorskip("standardwebhooks")
    assert notified(path, 1).done == 1
    [(url, body, headers)] = game_server.requests
    assert (url, headers["webhook-id"]) == ("https://seven.example/hooks", "ntf_1")
    assert reference.Webhook(SECRET).verify(body, headers) == json.loads(BODY)
    with pytest.raises(reference.WebhookVerificationError):
        reference.Webhook(SECRET).verify(body + b" ", headers)


def test_while_a_secret_is_changed_both_verify(path: str, rows: sqlite3.Connection, game_server: GameServer) -> None:
    reference = pytest.importorskip("standardwebhooks")
    rows.execute("UPDATE webhook SET previous_secret = ?", (PREVIOUS,))
    notified(path, 1)
    [(_, body, headers)] = game_server.requests
    for secret in (SECRET, PREVIOUS):
        assert reference.Webhook(secret).verify(body, headers) == json.loads(BODY)


def test_the_signature_is_the_one_that_the_specification_names() -> None:
    secret, message_id, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 1}'
    known = "v1,9sV6Sa+ekXLnhUkrOCE3SJVGOcubdjGsseFXTLj8pSc="  # what the reference library makes of it
    assert webhook.signature(secret, message_id, 1614265330, body) == known


def test_what_fails_is_tried_again_under_the_same_id(
    path: str, rows: sqlite3.Connection, game_server: GameServer
) -> None:
    game_server.answers = [DOWN, Answer(None, 10.0, "TimeoutError: timed out")]
    run = notified(path, 1)
    assert list(run.waiting().values()) == ["AppAwayError: app 7: 500 Internal Server Error"]
    run.advance(seconds=10)
    run.advance(seconds=20)
    assert (run.done, run.waiting()) == (1, {})
    assert {headers["webhook-id"] for _, _, headers in game_server.requests} == {"ntf_1"}
    assert attempts(rows) == [
        (1, 1, 500, "Internal Server Error"),
        (1, 2, None, "TimeoutError: timed out"),
        (1, 3, 200, None),
    ]


def test_one_that_is_refused_does_not_speak_against_the_server(path: str, game_server: GameServer) -> None:
    game_server.answers = [Answer(422, 0.01, "Unprocessable Content")]
    assert list(notified(path, 1).waiting().values()) == ["DeliveryFailedError: app 7: 422 Unprocessable Content"]


def test_after_four_days_it_is_given_up(path: str, game_server: GameServer) -> None:
    game_server.answers = [DOWN] * 100
    run = notified(path, 1)
    for _ in range(4 * 24):
        run.advance(seconds=60 * 60)
    assert len(run.dead()) == 1
    assert 45 < len(game_server.requests) < 70  # each two hours, after ten doublings


def test_retry_after_is_obeyed(path: str, game_server: GameServer) -> None:
    game_server.answers = [Answer(429, 0.01, "Too Many Requests", retry_after_s=300)]
    run = notified(path, 1)
    run.advance(seconds=299)
    assert (run.done, len(game_server.requests)) == (0, 1)
    run.advance(seconds=1)
    assert (run.done, len(game_server.requests)) == (1, 2)


def test_an_endpoint_that_is_gone_is_left_alone(path: str, rows: sqlite3.Connection, game_server: GameServer) -> None:
    game_server.answers = [Answer(410, 0.01, "Gone")]
    run = notified(path, 1, 2, 3)
    assert set(run.dead().values()) == {"the handler gave up: app 7: its endpoint is gone"}
    assert (len(run.dead()), len(game_server.requests)) == (3, 1)
    rows.execute("UPDATE webhook SET gone_at = NULL")
    assert notified(path, 1).done == 1


def test_an_app_without_a_webhook_is_parked(path: str, game_server: GameServer) -> None:
    assert list(notified(path, 1, app_id=8).dead().values()) == ["the handler gave up: app 8: its endpoint is missing"]


def test_the_attempts_and_the_next_try_are_shown(
    path: str, rows: sqlite3.Connection, game_server: GameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.execute("INSERT INTO payment_notification (app_id, payment_id, body, due_at) VALUES (7, 5, ?, 1e9)", (BODY,))
    game_server.answers = [DOWN]
    notified(path, 1)
    monkeypatch.setenv("GOP_DATABASE", f"sqlite:///{path}")
    with database.engine().connect() as connection:
        made, standing = notification_manager.attempts_of(connection, 1)
    assert [(attempt["status"], attempt["latency_ms"]) for attempt in made] == [(500, 20)]
    assert standing == {"state": "pending", "due_at": 1e9}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("Wed, 21 Oct 2015 07:28:00 GMT", 60), ("soon", None), ("-5", None), (None, None)],
)
def test_retry_after_is_read_in_both_its_forms(header: str | None, seconds: float | None) -> None:
    assert webhook.seconds_of(header, now=1445412420) == seconds
