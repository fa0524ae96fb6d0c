"""JSON payloads. Runs in workers and the foreground.

The loop decodes with `orjson.loads` itself; what that refuses comes here once more, for a sentence that says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import orjson

from consumerd.errors import UndecodableError


class Tombstone:
    """The kind of `TOMBSTONE`."""


TOMBSTONE: Final = Tombstone()
"""What stands for the record of a message without a value: in a compacted topic, it deletes its key."""

quick_decode: Callable[[bytes], object] = orjson.loads
"""What the fast path decodes with; raises a ValueError in orjson's own words."""


REGISTRY_MAGIC = 0
REGISTRY_HEADER_BYTES = 5
"""The wire format of schema registries: a zero byte and the schema's id in four bytes, then the message."""


def decode_json(payload: bytes | None) -> object:
    """The value in `payload`; raises UndecodableError with a sentence that says what is wrong, and where.

    NaN and infinities are no JSON, nor are numbers that would become one; nesting is bounded at 1024.
    """
    if not payload:
        raise UndecodableError("the payload is empty (a tombstone, or a producer that sent no value): there is no JSON")
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise UndecodableError(_sentence(payload, error)) from error


def limited(decode: Callable[[bytes], object], limit_bytes: int) -> Callable[[bytes | None], object]:
    """`decode`, for a batch in which some payload is longer than `limit_bytes`: those are refused unread."""

    def decode_within_limit(payload: bytes | None) -> object:
        if payload is not None and len(payload) > limit_bytes:
            raise UndecodableError(f"the payload of {len(payload)} bytes is over payload_limit ({limit_bytes} bytes)")
        return decode(payload)  # type: ignore[arg-type]  # None is refused by the decoder, as any other non-JSON

    return decode_within_limit


def _sentence(payload: bytes, error: orjson.JSONDecodeError) -> str:
    if payload[0] == REGISTRY_MAGIC and len(payload) > REGISTRY_HEADER_BYTES:
        schema = int.from_bytes(payload[1:REGISTRY_HEADER_BYTES])
        return (
            "the payload is not JSON: it begins as a schema registry's messages do "
            f"(a zero byte, then schema id {schema}): override iterate_task, "
            "and decode what consume_client gives with the registry's deserializer"
        )
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError as not_utf8:
        return f"the payload is not UTF-8: byte {payload[not_utf8.start]:#04x} at position {not_utf8.start}"
    if "depth" in error.msg or "recursion" in error.msg.lower():
        return f"the payload is JSON nested too deeply: deeper than 1024 at position {error.pos}"
    return f"the payload is not JSON: {error.msg} at position {error.pos}"
