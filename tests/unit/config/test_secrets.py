"""References to the environment and to files, and what they stood for."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.config.masking import without_passwords
from consumerd.config.redaction import MASK, SHORTEST_SECRET, Redactor
from consumerd.config.secrets import Resolver, has_reference

ENVIRON = {"PASSWORD": "s3cr3t/&?", "EMPTY": "", "LATIN": "\udce4"}
ANY_TEXT = st.text(st.characters(codec="utf-8"))


def resolver(directory: Path = Path("/nonexistent")) -> Resolver:
    return Resolver(ENVIRON, directory)


def test_a_variable_is_replaced_within_its_text() -> None:
    resolved = resolver().resolve({"url": ["mysql://u:${PASSWORD}@h/d", 3, None, True]})
    assert resolved.value == {"url": ["mysql://u:s3cr3t/&?@h/d", 3, None, True]}
    assert resolved.secrets == {"s3cr3t/&?"}
    assert resolved.places == {("url", 0)}
    assert resolved.failures == []


def test_a_variable_may_be_empty() -> None:
    assert resolver().resolve("<${EMPTY}>").value == "<>"


@given(ANY_TEXT.filter(lambda text: "${" not in text and not text.startswith(("file:", "$$file:"))))
def test_a_text_without_a_reference_stays_as_it_is(text: str) -> None:
    resolved = resolver().resolve(text)
    assert (resolved.value, resolved.failures, resolved.secrets) == (text, [], set())
    assert not has_reference(text)


@pytest.mark.parametrize(
    ("text", "plain"), [("$${PASSWORD}", "${PASSWORD}"), ("$$file:x", "file:x"), ("a$$b", "a$$b"), ("5$", "5$")]
)
def test_a_doubled_dollar_is_no_reference(text: str, plain: str) -> None:
    assert resolver().resolve(text).value == plain
    assert not has_reference(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("${UNSET}", "UNSET is not set"),
        ("${PASSWORD", "never closed"),
        ("${pass word}", "no name of a variable"),
        ("${}", "no name of a variable"),
        ("${LATIN}", "not UTF-8"),
        ("file:missing", "No such file"),
        ("file:", "Is a directory"),
        ("file:/dev/zero", "not a regular file"),
    ],
)
def test_a_reference_to_nothing_is_a_failure_with_its_place(text: str, part: str, tmp_path: Path) -> None:
    resolved = resolver(tmp_path).resolve({"a": {"b": [text]}})
    [(place, sentence)] = resolved.failures
    assert place == ("a", "b", 0)
    assert part in sentence
    assert resolved.value == {"a": {"b": [text]}}
    assert has_reference(text)


def test_a_file_is_read_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("two\nlines\n", encoding="utf-8")
    for reference in ("file:secret", f"file:{tmp_path}/secret", f"file://{tmp_path}/secret"):
        assert resolver(tmp_path).resolve(reference).value == "two\nlines"


def test_a_byte_order_mark_is_no_part_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbfhunter2\r\n")
    assert resolver(tmp_path).resolve("file:secret").value == "hunter2"


def test_a_fifo_or_a_huge_or_a_binary_file_is_no_secret(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "huge").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    resolved = resolver(tmp_path).resolve(["file:fifo", "file:huge", "file:binary"])
    sentences = [sentence for _, sentence in resolved.failures]
    assert ["regular file" in sentences[0], "65536" in sentences[1], "UTF-8" in sentences[2]] == [True] * 3


SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=SHORTEST_SECRET, max_size=20)


@given(st.lists(SECRETS, min_size=1, max_size=3), ANY_TEXT, ANY_TEXT)
def test_no_secret_is_left_in_a_redacted_text(secrets: list[str], before: str, after: str) -> None:
    redactor = Redactor(frozenset(secrets))
    redacted = redactor.redact(before + secrets[0] + after)
    assert MASK in redacted
    assert all(secret not in redacted for secret in secrets)


def test_a_secret_is_found_as_urls_json_and_repr_write_it() -> None:
    secret = 'p@ss/"w\\ö\n'
    redactor = Redactor(frozenset([secret]))
    for form in ("p%40ss%2F%22w%5C%C3%B6%0A", 'p@ss/\\"w\\\\\\u00f6\\n', repr(secret)[1:-1]):
        assert redactor.redact(f"<{form}>") == f"<{MASK}>"


def test_each_long_line_of_a_secret_is_masked() -> None:
    redactor = Redactor(frozenset(["-----BEGIN-----\nMIIEvQIBADAN\n"]))
    assert redactor.redact("cannot parse MIIEvQIBADAN at all") == f"cannot parse {MASK} at all"


def test_what_is_too_short_to_be_secret_is_not_masked() -> None:
    assert Redactor(frozenset(["", "12"])).redact("port 12") == "port 12"


def test_a_redactor_shows_no_secret_of_its_own() -> None:
    assert "hunter2" not in repr(Redactor(frozenset(["hunter2"])))


def test_redactors_join() -> None:
    assert Redactor(frozenset(["one1"])).joined(["two2"]).redact("one1 two2") == f"{MASK} {MASK}"


@pytest.mark.parametrize(
    "secret",
    [
        "postgresql://app:hunter2word@db/tasks?sslmode=require",
        "postgresql://db/tasks?user=app&password=hunter2word",
        "mysql://app@db/tasks?ssl_key_password=hunter2word&charset=utf8mb4",
        "redis://:hunter2word@cache:6379/0",
        "mysql://app:hunter2word@db-1,db-2/tasks?contact=a@b",
        "host=db user=app password=hunter2word dbname=tasks",
        "host=db password='hunter2word' dbname=tasks",
        "Server=db;Pwd=hunter2word;Database=tasks",
        '{"user": "app", "password": "hunter2word"}',
        "https://hunter2word@sentry.example/17",
        "org.apache.kafka.PlainLoginModule required username='app' password='hunter2word';",
    ],
)
def test_what_is_secret_in_a_url_or_a_list_of_values_is_masked_alone_too(secret: str) -> None:
    redact = Resolver({"URL": secret}).resolve({"own": "${URL}", "database": "${URL}"}).secrets
    assert "hunter2word" not in Redactor(redact).redact(f"login with ('hunter2word') and /hunter2word at db: {secret}")
    assert Redactor(redact).redact("app at db, tasks, sslmode=require") == "app at db, tasks, sslmode=require"


def test_the_path_of_a_web_hook_is_masked_alone_too() -> None:
    redactor = Redactor(frozenset(["https://hooks.example/services/T0/hunter2word"]))
    assert redactor.redact("POST /services/T0/hunter2word at hooks.example") == f"POST {MASK} at hooks.example"


def test_a_password_is_masked_as_it_was_written_and_decoded() -> None:
    redactor = Redactor(frozenset(["mysql://app:p%40ss+w%2Frd@db/mail"]))
    for form in (
        "p%40ss+w%2Frd",
        "p@ss+w/rd",
        "p@ss w/rd",
        "p%40ss w%2Frd",
        "mysql+pymysql://app:p%40ss+w%2Frd@db/mail",
    ):
        assert "ss" not in redactor.redact(form), form


@pytest.mark.parametrize(
    ("key", "written", "text"),
    [
        ("brokers", "${BROKERS}", "none of the brokers at kafka-1:9092,kafka-2:9092 answers"),
        ("database", "${FOLDER}/tasks.sqlite", "there is no database /srv/jobs/tasks.sqlite"),
        ("ssl.ca.location", "${FOLDER}/ca.pem", "there is no file /srv/jobs/ca.pem"),
        ("own", "mysql://app:${PASSWORD}@${HOST}/mail", "the server at db.example does not answer"),
    ],
)
def test_addresses_names_and_paths_are_no_secrets(key: str, written: str, text: str) -> None:
    environ = {
        "BROKERS": "kafka-1:9092,kafka-2:9092",
        "FOLDER": "/srv/jobs",
        "PASSWORD": "s3cr3t",
        "HOST": "db.example",
    }
    resolved = Resolver(environ).resolve({key: written})
    redactor = Redactor(resolved.secrets)
    assert redactor.redact(text) == text
    assert redactor.redact("s3cr3t") == (MASK if "PASSWORD" in written else "s3cr3t")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("embedded", "embedded"),
        ("mysql+pymysql://app:${DB_PASSWORD}@db/tasks", "mysql+pymysql://app:${DB_PASSWORD}@db/tasks"),
        ("${PARKING_URL}", "${PARKING_URL}"),
        ("postgresql://db/tasks?user=app&password=hunter2&x=1", "postgresql://db/tasks?user=app&password=***&x=1"),
        ("mysql://db/tasks?sslPassword=hunter2", "mysql://db/tasks?sslPassword=***"),
        ("postgresql://app:hunter2@db:5432/tasks", "postgresql://app:***@db:5432/tasks"),
        ("postgresql://app@db:5432/tasks", "postgresql://app@db:5432/tasks"),
        ("postgresql://app:p@ss$1/2@db/tasks", "postgresql://app:***@db/tasks"),
    ],
)
def test_a_url_is_shown_as_it_is_written_but_for_a_password(written: str, shown: str) -> None:
    assert without_passwords(written) == shown
