"""Workers of a claimed table on a server, killed ten times a second: nothing is lost, no row is run by two at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from integration.scenarios.kills import BESIDE, BY_QUERY, LOAD, WITH_EFFECTS, Kills

SECONDS = 120.0
WORKERS = 8
SEED = 7
BACKLOG = 2_000
EFFECTS_SECONDS = 8.0
BESIDE_SECONDS = 8.0
FEW = 400
"""So few rows wait, that a run is soon at its end once the killing is over: a second's work."""
KILLS_A_SECOND = 4.0
"""More of them would use up the deaths that four workers may have, and the pool would rest for a minute."""


def test_kills_cost_repeats_alone_and_each_has_its_kill(state_dir: Path, database_url: str) -> None:
    load = replace(LOAD, backlog=BACKLOG)
    kills = Kills(state_dir, workers=WORKERS, seed=SEED, database=database_url, load=load)
    report = kills.run(SECONDS, kills_a_second=10.0)
    assert report.complaints == [], report
    assert report.done["kill"] >= SECONDS, "it was hardly killed"
    assert len(kills.taken_over_s()) >= SECONDS / 24, "hardly a row was in hand"


@pytest.mark.parametrize(
    ("server", "source", "concurrency"),
    [
        ("sqlite", "table", 4),
        ("sqlite", "query", 1),
        ("mariadb", "table", 1),
        ("mariadb", "query", 4),
        ("postgres", "table", 4),
        ("postgres", "query", 1),
    ],
)
def test_each_row_has_its_effect_once_whenever_workers_are_killed(
    state_dir: Path, server: str, source: str, concurrency: int, request: pytest.FixtureRequest
) -> None:
    """Any two of these meet. `make kills KILLS="--effects … --concurrency …"` has a thousand kills of any three."""
    effects = {"table": WITH_EFFECTS, "query": BY_QUERY}[source]
    load = replace(effects, concurrency=concurrency, backlog=FEW)
    database = None if server == "sqlite" else request.getfixturevalue(f"{server}_url")
    kills = Kills(state_dir, workers=4, seed=SEED, database=database, load=load)
    report = kills.run(EFFECTS_SECONDS, kills_a_second=KILLS_A_SECOND)
    assert report.complaints == [], report
    assert report.done["kill"] >= EFFECTS_SECONDS / 4, "it was hardly killed"


@pytest.mark.parametrize("server", ["sqlite", "mariadb", "postgres"])
def test_kills_cost_repeats_alone_where_the_claims_stand_beside_the_table(
    state_dir: Path, server: str, request: pytest.FixtureRequest
) -> None:
    database = None if server == "sqlite" else request.getfixturevalue(f"{server}_url")
    kills = Kills(state_dir, workers=4, seed=SEED, database=database, load=replace(BESIDE, backlog=FEW))
    report = kills.run(BESIDE_SECONDS, kills_a_second=KILLS_A_SECOND)
    assert report.complaints == [], report
    assert report.done["kill"] >= BESIDE_SECONDS / 4, "it was hardly killed"
