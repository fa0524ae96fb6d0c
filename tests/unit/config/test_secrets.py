"""References to the environment and to files, and what they stood for."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    assert resolved.failures == ()


def test_a_variable_may_be_empty() -> None:
    assert resolver().resolve("<${EMPTY}>").value == "<>"


@given(ANY_TEXT.filter(lambda text: "${" not in text and not text.startswith(("file:", "$$file:"))))
def test_a_text_without_a_reference_stays_as_it_is(text: str) -> None:
    resolved = resolver().resolve(text)
    assert (resolved.value, resolved.failures, resolved.secrets) == (text, (), frozenset())
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
