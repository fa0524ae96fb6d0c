"""What forms bring: read as far as a form of ours can be, and no further."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from starlette.requests import Request

from consumerd.errors import ConsumerdError

LARGEST_FORM_BYTES = 16_384
MOST_FIELDS = 50
ARRIVES_IN_S = 20.0


class FormRefusedError(ConsumerdError):
    """A form is not read. status: of the answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


async def form_of(request: Request, largest_bytes: int = LARGEST_FORM_BYTES) -> dict[str, str]:
    """The fields of a form. FormRefusedError."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise FormRefusedError(415, "this is no form of this page: open the page, and do it there")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > len(str(largest_bytes)) or int(length) > largest_bytes):
        raise _too_large(largest_bytes)
    try:
        async with asyncio.timeout(ARRIVES_IN_S):
            body = await _body(request, largest_bytes)
    except TimeoutError as error:
        raise FormRefusedError(408, f"this form has not come within {ARRIVES_IN_S:.0f} s: send it again") from error
    if body.count(b"&") >= MOST_FIELDS:
        raise FormRefusedError(413, f"this form has more than {MOST_FIELDS} fields, and no form of this page has")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=MOST_FIELDS
        )
    except ValueError as error:
        raise FormRefusedError(400, "this form cannot be read: open the page again") from error
    return dict(pairs)


async def _body(request: Request, largest_bytes: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > largest_bytes:
            raise _too_large(largest_bytes)
    return bytes(body)


def _too_large(largest_bytes: int) -> FormRefusedError:
    return FormRefusedError(413, f"this form has more than {largest_bytes:,} bytes, which is too much: make it shorter")
