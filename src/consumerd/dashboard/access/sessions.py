"""Who may do what: tokens, sessions, and how often somebody may guess. It knows nothing of HTTP."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from consumerd.clock import SYSTEM_CLOCK, Clock

SESSION_S = 12 * 3_600.0
MOST_SESSIONS = 1_000
FREE_GUESSES = 5
"""So many wrong tokens cost nothing; each further one costs twice as long a wait as the one before."""

LONGEST_WAIT_S = 60.0
FORGIVEN_S = 600.0


class Role(IntEnum):
    """What somebody may do."""

    NOBODY = 0
    READ_ONLY = 1
    OPERATOR = 2

    @property
    def text(self) -> str:
        return self.name.lower().replace("_", "-")


@dataclass(slots=True)
class Session:
    """Somebody who is signed in, or who may look without that.

    csrf: what each of their forms has to bring. told: sentences to be shown once.
    """

    role: Role
    csrf: str = ""
    until: float = float("inf")
    told: list[tuple[str, str]] = field(default_factory=list)


class GuessedTooOftenError(Exception):
    """The token is wrong, and so were too many before it."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(
            f"this is no token of this page, nor were many before: try again in {wait_s:.0f} s, or with the right one"
        )
        self.wait_s = wait_s


class Access:
    """Signs people in, by a token of a role, or by a key that holds once.

    open_to: the role of those who have not signed in.
    """

    def __init__(
        self,
        tokens: Mapping[Role, str],
        *,
        open_to: Role = Role.NOBODY,
        one_time: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._tokens = dict(tokens)
        self._one_time = one_time
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._guests = Session(open_to)
        self._guesses = Guesses(clock)

    @property
    def has_tokens(self) -> bool:
        """Whether anybody can sign in by typing."""
        return bool(self._tokens)

    def session(self, cookie: str) -> Session:
        """Of whoever sends this cookie; of guests, where it is nobody's."""
        found = self._sessions.get(cookie)
        if found is not None and found.until < self._clock.monotonic():
            del self._sessions[cookie]
            found = None
        return found or self._guests

    def sign_in(self, token: str, address: str) -> str | None:
        """The cookie of a new session; None where the token is wrong. GuessedTooOftenError.

        A right token always signs in: whoever guesses cannot keep others out.
        """
        role = max([role for role, right in self._tokens.items() if _is_same(token, right)], default=None)
        if role is None:
            self._guesses.look(address)
            self._guesses.note_wrong(address)
            return None
        return self._new_session(role)

    def sign_in_once(self, key: str) -> str | None:
        """The cookie of an operator's session, for the first who has the key."""
        if not self._one_time or not _is_same(key, self._one_time):
            return None
        self._one_time = ""
        return self._new_session(Role.OPERATOR)

    def sign_out(self, cookie: str) -> None:
        self._sessions.pop(cookie, None)

    def _new_session(self, role: Role) -> str:
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        cookie = secrets.token_urlsafe(32)
        self._sessions[cookie] = Session(role, secrets.token_urlsafe(32), self._clock.monotonic() + SESSION_S)
        return cookie


class Guesses:
    """Puts off whoever guesses: by address, and all together, so that many addresses are no help."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wrong: dict[str, tuple[int, float]] = {}

    def look(self, address: str) -> None:
        """GuessedTooOftenError while the last wrong token of this address is too near, or that of anybody."""
        wait_s = max(self._wait_s(address, FREE_GUESSES), self._wait_s("", 20 * FREE_GUESSES))
        if wait_s > 0:
            raise GuessedTooOftenError(wait_s)

    def note_wrong(self, address: str) -> None:
        now = self._clock.monotonic()
        self._wrong = {each: found for each, found in self._wrong.items() if now - found[1] < FORGIVEN_S}
        while len(self._wrong) >= MOST_SESSIONS:
            del self._wrong[next(each for each in self._wrong if each)]
        for whose in (address, ""):
            self._wrong[whose] = (self._wrong.get(whose, (0, 0.0))[0] + 1, now)

    def _wait_s(self, whose: str, free: int) -> float:
        wrong, last = self._wrong.get(whose, (0, 0.0))
        if wrong < free:
            return 0.0
        return last + min(LONGEST_WAIT_S, 2.0 ** min(wrong - free, 10)) - self._clock.monotonic()


def _is_same(given: str, right: str) -> bool:
    """In a time that tells nothing of how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
