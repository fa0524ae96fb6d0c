"""Asks payment channels about payments. An answer is believed only if it is about the payment that was asked for."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from enum import StrEnum
from http.client import HTTPException


class Status(StrEnum):
    """What a channel says. UNKNOWN: it has no such payment, or not yet."""

    PAID = "paid"
    DECLINED = "declined"
    PENDING = "pending"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        return self in (Status.PAID, Status.DECLINED)


LONGEST_ANSWER = 64 * 1024


class ChannelAwayError(OSError):
    """The channel has not answered, or with 5xx: nothing is known, and nothing declined."""


class WrongAnswerError(ValueError):
    """It has answered what cannot be right, or refuses this question: as if it had not, but it is not down."""


def ask(url: str, payment_id: int, amount: int, timeout_s: float) -> Status:
    """The status of a payment by the channel at `url`; ChannelAwayError, WrongAnswerError."""
    try:
        with urllib.request.urlopen(f"{url}/payments/{payment_id}", timeout=timeout_s) as response:
            return read(response.read(LONGEST_ANSWER), payment_id, amount)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404:
                return Status.UNKNOWN
        kind = ChannelAwayError if error.code >= 500 else WrongAnswerError
        raise kind(f"payment {payment_id}: the channel answers {error.code}") from None
    except (OSError, HTTPException) as error:  # nonsense in the place of an answer, too
        raise ChannelAwayError(f"payment {payment_id}: no answer, {error}") from error


def read(answer: bytes, payment_id: int, amount: int) -> Status:
    """What an answer says of this payment; WrongAnswerError."""
    try:
        said = json.loads(answer)
        status, about = Status(said["status"]), (said["payment_id"], said["amount"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise WrongAnswerError(f"payment {payment_id}: the channel says {answer[:100]!r}") from error
    if about != (payment_id, amount):
        raise WrongAnswerError(f"payment {payment_id} of {amount}: the channel says {status} of {about}")
    return status
