"""Payloads that are no JSON, and the sentence for each."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.errors import UndecodableError
from consumerd.sources.decoding import decode_json, limited, quick_decode


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (None, "the payload is empty"),
        (b"", "the payload is empty"),
        (b'{"uid": 1', "not JSON: unexpected end of data at position 9"),
        (b'{"uid": }', "not JSON: .* at position 8"),
        (b"NaN", "not JSON: .* at position 0"),
        (b"[1e999]", "not JSON: number is infinity .* at position 1"),
        (b"9" * 1_000_000, "not JSON: number is infinity"),
        (b'{"name": "\xff"}', "not UTF-8: byte 0xff at position 10"),
        (b'"\xed\xa0\x80"', "not UTF-8: byte 0xed at position 1"),
        (b"\0\0\0\0\x2aObj", "a zero byte, then schema id 42.*deserializer"),
        (b"\0\0\0\x01\0" + b'{"uid": 1}', "schema id 256"),
        (b"\0{}", "not JSON: .* at position 0"),
        (b"[" * 100_000, "nested too deeply: deeper than 1024 at position 102[0-9]"),
    ],
)
def test_a_payload_that_is_no_json_is_refused_with_the_reason_and_the_position(payload, sentence):
    with pytest.raises(UndecodableError, match=sentence) as raised:
        decode_json(payload)
    assert "\n" not in str(raised.value)


@given(st.binary(max_size=200))
def test_bytes_are_either_decoded_as_json_or_refused_with_one_line(payload):
    sentence = None
    try:
        decoded = decode_json(payload)
    except UndecodableError as error:
        sentence = str(error)
    else:
        assert decoded == json.loads(payload)
    assert sentence is None or "\n" not in sentence


@given(
    st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(), lambda inner: st.lists(inner))
)
def test_what_is_json_is_decoded_as_the_quick_decoder_does(value):
    payload = json.dumps(value).encode()
    assert decode_json(payload) == quick_decode(payload)


def test_the_later_of_two_equal_keys_counts():
    assert decode_json(b'{"uid": 1, "uid": 2}') == {"uid": 2}


def test_a_payload_over_the_limit_is_refused_unread_and_one_at_the_limit_is_decoded():
    decode = limited(quick_decode, 4)
    assert decode(b"1234") == 1234
    with pytest.raises(UndecodableError, match=r"payload of 5 bytes is over payload_limit \(4 bytes\)"):
        decode(b"12345")
