"""The balance of a demo: what was produced against what became of it, from the databases alone. Pure.

Nothing that consumerd says of itself goes in here: not its counters, not its log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from consumerd.demo.grants import Handling
from consumerd.demo.logins import GrantKey, Login, Poison, newest

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Books:
    """What is in the databases, and what is known to have gone into them.

    handled: every time that a login was handled; parked: the payloads in the parking store, with their errors;
    pending: rows of the task table that are neither done nor parked; killed_pids: the workers that the demo killed.
    """

    logins: tuple[Login, ...]
    poison: tuple[Poison, ...]
    handled: tuple[Handling, ...]
    parked: tuple[tuple[bytes, str], ...]
    grants: Mapping[GrantKey, int]
    pending: int
    killed_pids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Balance:
    """The result. `problems` has a sentence for everything that is not as it must be.

    repeated: how often a login was handled once more; unexplained: those that no kill accounts for.
    """

    produced: int
    done: int
    parked: int
    lost: int
    pending: int
    grants: int
    wrong_grants: int
    repeated: int
    unexplained: int
    problems: tuple[str, ...]

    @property
    def is_even(self) -> bool:
        return not self.problems


def strike(books: Books) -> Balance:
    """The balance of these books."""
    done = {handling.login_id for handling in books.handled}
    parked = {payload for payload, _ in books.parked}
    lost_logins = [login.id for login in books.logins if login.id not in done and login.payload not in parked]
    lost_poison = [poison for poison in books.poison if poison.payload not in parked]
    expected = newest(books.logins)
    wrong = [key for key in expected.keys() | books.grants.keys() if expected.get(key) != books.grants.get(key)]
    unexplained = _unexplained(books)
    return Balance(
        produced=len(books.logins) + len(books.poison),
        done=len(done),
        parked=len(books.parked),
        lost=len(lost_logins) + len(lost_poison),
        pending=books.pending,
        grants=len(books.grants),
        wrong_grants=len(wrong),
        repeated=len(books.handled) - len(done),
        unexplained=len(unexplained),
        problems=(
            *_loss_problems(lost_logins, lost_poison),
            *_parking_problems(books, done),
            *_grant_problems(wrong),
            *_handling_problems(books, done, unexplained),
            *_pending_problems(books.pending),
        ),
    )


def _unexplained(books: Books) -> list[int]:
    """Logins that were handled again though the worker that had handled them was not killed; one for each time."""
    last_pids: dict[int, int] = {}
    unexplained = []
    for handling in books.handled:
        before = last_pids.get(handling.login_id)
        if before is not None and before not in books.killed_pids:
            unexplained.append(handling.login_id)
        last_pids[handling.login_id] = handling.worker_pid
    return unexplained


def _loss_problems(logins: list[int], poison: list[Poison]) -> list[str]:
    problems = []
    if logins:
        problems.append(f"{len(logins)} login(s) are neither done nor parked: {_some(logins)}")
    problems += [f"the poison task with {bad.why} is not parked" for bad in poison]
    return problems


def _parking_problems(books: Books, done: set[int]) -> list[str]:
    """A parked task must be one that was produced, once, with the error that it was made for, and not done as well."""
    causes = {bad.payload: bad for bad in books.poison}
    logins = {login.payload: login.id for login in books.logins}
    problems = []
    for payload, times in Counter(payload for payload, _ in books.parked).items():
        if times > 1:
            problems.append(f"a task is parked {times} times: {payload!r}")
        if payload in logins:
            also = " and done as well" if logins[payload] in done else ""
            problems.append(f"login {logins[payload]} is parked{also}, and was made to succeed")
        elif payload not in causes:
            problems.append(f"what is parked was never produced: {payload[:80]!r}")
    for payload, error in books.parked:
        if payload in causes and causes[payload].error not in error:
            problems.append(f"the task with {causes[payload].why} is parked for another reason: {error}")
    return problems


def _grant_problems(wrong: list[GrantKey]) -> list[str]:
    return [f"{len(wrong)} grant(s) are not the newest that was produced: {_some(sorted(wrong))}"] if wrong else []


def _handling_problems(books: Books, done: set[int], unexplained: list[int]) -> list[str]:
    problems = []
    strangers = sorted(done - {login.id for login in books.logins})
    if strangers:
        problems.append(f"{len(strangers)} login(s) were handled and never produced: {_some(strangers)}")
    if unexplained:
        problems.append(f"{len(unexplained)} repetition(s) that no kill explains: logins {_some(unexplained)}")
    return problems


def _pending_problems(pending: int) -> list[str]:
    return [f"{pending} task(s) are still pending in the table"] if pending else []


def _some(items: list[int] | list[GrantKey]) -> str:
    """The first few."""
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(str(item) for item in items[:_SHOWN]) + more
