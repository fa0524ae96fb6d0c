"""One run of `make gop` as a picture: what came, what was behind, who worked, and what the database wrote."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from simulations.drawing import BLUE, DARK_RED, GREEN, GREY, Line, Panel, Picture
from world.samples import Sample, a_second

KILL = "SIGKILL to "
APART_S = 2.0
KILLED = ("worker", "zygote", "master", "broker", "database")


def svg(title: str, samples: Sequence[Sample], notes: Sequence[tuple[float, str]], limits: Mapping[str, float]) -> str:
    """limits: how many rows of a table are written in a second at most."""
    began, times = samples[0].at, [sample.at - samples[0].at for sample in samples]
    seconds = times[-1]

    def lines_of(daemon: str, what: str) -> Panel:
        came = Line(f"{what} a second that come in", GREY, a_second(samples, lambda sample: sample.given[daemon]))
        done = Line(f"{what} a second that are done", GREEN, a_second(samples, lambda sample: sample.done[daemon]))
        return Panel([came, done])

    def behind(daemon: str, what: str) -> Panel:
        return Panel([Line(f"{what} behind", DARK_RED, [sample.left(daemon) for sample in samples])])

    def written(table: str, limit: str) -> Panel:
        rows = a_second(samples, lambda sample: sample.rows.get(table, 0.0))
        name = f"rows of {table} written a second, by the server's own counter"
        return Panel([Line(name, BLUE, rows)], (limit, limits[table]))

    workers = [sample.workers.get("gop_logins/login-grants", 0.0) for sample in samples]
    return Picture(
        title=title,
        times=times,
        seconds=seconds,
        panels=[
            lines_of("logins", "logins"),
            behind("logins", "logins"),
            Panel([Line("workers for logins", BLUE, workers, is_stepped=True)]),
            written("login_grant", "what the largest number of workers can write"),
            behind("accounts", "changes of accounts"),
            written("account", "the limit of changes a second"),
        ],
        ticks=[(float(at), f"{at} s") for at in range(0, int(seconds) + 1, 30)],
        marks=[(at - began, what) for at, what in _marks(notes) if 0 <= at - began <= seconds],
    ).svg()


def _marks(notes: Sequence[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """What was killed when, in a word; several at once are one."""
    kills = [(at, what.removeprefix(KILL)) for at, what in notes if what.startswith(KILL)]
    for (before, _), (at, what) in itertools.pairwise([(0.0, ""), *kills]):
        if at - before > APART_S:
            yield at, next(word for word in KILLED if word in what)
