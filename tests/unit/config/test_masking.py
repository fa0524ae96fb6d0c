"""What is shown of a configuration as it is written: no secret, whatever its key, shape and place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.config.masking import masked, without_passwords

JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="app" password="hunter2";'


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dsn", "host=db dbname=tasks password=hunter2"),
        ("dsn", "host=db password='hunter2' user=app"),
        ("sasl.jaas.config", JAAS),
        ("settings", JAAS),
        ("alerts", "https://hooks.slack.com/services/T000/B000/hunter2"),
        ("alerts", "https://discord.com/api/webhooks/1234/hunter2"),
        ("alerts", "https://api.example.org/bot/4839201748:hunter2abcdefgh/send"),
        ("private_key", "hunter2"),
        ("ssl.private.key", "hunter2"),
        ("pem", "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----"),
        ("headers", ["Authorization: Bearer hunter2"]),
        ("headers", ["Authorization: Basic hunter2"]),
        ("headers", ["Authorization: hunter2"]),
        ("headers", {"Authorization": "Bearer hunter2"}),
        ("header", "bearer hunter2"),
        ("password", "hunter2"),
        ("password", "hunter2 ${USER}"),
        ("password", "$${hunter2}"),
        ("passwords", ["hunter2"]),
        ("credentials", {"user": "app", "own": ["hunter2"]}),
        ("login", "${USER}:hunter2"),
        ("url", "mysql://${USER}:hunter2@db/tasks"),
        ("url", "mysql://app:hun ter hunter2@db/tasks"),
        ("url", "mysql://db/tasks?password=${A}hunter2"),
        ("url", "https://hunter2hunter2@errors.example.org/1"),
        ("connection", "DefaultEndpointsProtocol=https;AccountKey=hunter2;x=1"),
        ("any", [{"deep": [{"api_key": "hunter2"}]}]),
        ("auth", ["app", "hunter2"]),
    ],
)
def test_a_secret_that_is_written_out_is_masked(key: str, value: object) -> None:
    shown = json.dumps(masked(key, value))
    assert "hunter2" not in shown
    assert "***" in shown


@pytest.mark.parametrize("value", [12345, 1.5, [12345], {"own": 12345}])
def test_a_number_is_masked_under_a_secret_key(value: object) -> None:
    shown = json.dumps(masked("password", value))
    assert "***" in shown
    assert "1" not in shown


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", "${PASSWORD}"),
        ("password", "${USER}${PASSWORD}"),
        ("password", "file:secrets/password"),
        ("password", None),
        ("use_token", True),
        ("url", "mysql://app:${PASSWORD}@db:3306/tasks"),
        ("url", "https://api.example.org/v1/orders/2026-11-29?page=2"),
        ("brokers", "${HOST}:9092,kafka-2:9092"),
        ("dsn", "host=db password=${PASSWORD}"),
        ("header", "Authorization: ${HEADER}"),
        ("header", "Authorization: Bearer ${TOKEN}"),
        ("workers", 4),
        ("query", "SELECT id, created FROM orders WHERE state = 'new'"),
        ("topics", ["orders", "mails"]),
    ],
)
def test_what_is_no_secret_stands_as_it_is_written(key: str, value: object) -> None:
    assert masked(key, value) == value


@given(st.text())
def test_a_text_without_a_secret_is_masked_once(text: str) -> None:
    once = without_passwords(text)
    assert without_passwords(once) == once
