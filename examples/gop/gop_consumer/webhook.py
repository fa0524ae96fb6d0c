"""Sending a webhook as the Standard Webhooks specification (standardwebhooks.com) has it. No database, no consumerd.

The receiver checks `webhook-signature`, refuses an old `webhook-timestamp`, and does one `webhook-id` once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException

_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request.

    status: of HTTP; None where there was no answer, and `error` says why.
    retry_after_s: how long the receiver asks to be left alone.
    """

    status: int | None
    latency_s: float
    error: str = ""
    retry_after_s: float | None = None

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def signed_headers(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message. secrets: `whsec_…` each; while one is replaced, both sign, so that either verifies."""
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, message_id, timestamp, body) for secret in secrets),
    }


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 of id, timestamp and body, by the bytes that the secret stands for."""
    key = base64.b64decode(secret.removeprefix(_PREFIX) + "==")
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def post(url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
    """Send it once. A redirection is an answer like others: what is signed for one URL is not sent to another."""
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    begun = time.monotonic()
    try:
        with _OPENER.open(request, timeout=timeout_s) as response:
            return Answer(response.status, time.monotonic() - begun)
    except urllib.error.HTTPError as error:
        with error:
            retry_after_s = seconds_of(error.headers.get("Retry-After"), time.time())
        return Answer(error.code, time.monotonic() - begun, error.reason, retry_after_s)
    except (OSError, HTTPException) as error:  # nonsense in the place of an answer, too
        return Answer(None, time.monotonic() - begun, f"{type(error).__name__}: {error}")


def seconds_of(retry_after: str | None, now: float) -> float | None:
    """`Retry-After`: seconds, or a date; None where it is neither."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except ValueError:
        return None


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: object) -> None:
        """None: the answer stays what it is."""


_OPENER = urllib.request.build_opener(_NoRedirection)
