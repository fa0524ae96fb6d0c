"""The day of a launch: all that is around the daemons, on whatever database, and whoever does their tasks.

Prepare it, open its partners, start what does the tasks, open the front ends; when they have ended and nothing is left,
ask `balance.Books` what became of it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Engine, create_engine, text

from world import ledger
from world.balance import triggers
from world.front_end import SPIKE_FROM, SPIKE_UNTIL
from world.game_servers import PREVIOUS_SECRET, SECRET
from world.load import APPS, Load
from world.processes import HERE, Stage

OLD, YOUNG = "2020-01-01 00:00:00", "2099-01-01 00:00:00"
YOUNG_ORDERS = 50
ALL = ("logins", "changes", "payments")
_ORDER = text(
    "INSERT INTO game_order (account_id, item, amount, state, finished_at) VALUES (1, 'sword', 5, :state, :at)"
)
_WEBHOOK = text(
    "INSERT INTO webhook (app_id, url, secret, previous_secret)"
    f" VALUES (:app_id, :url, '{SECRET}', '{PREVIOUS_SECRET}')"
)
SCHEMAS = {"mysql": "schema.sql", "sqlite": "schema_sqlite.sql"}


@dataclass(frozen=True, slots=True)
class LaunchDay:
    """seconds: for so long tasks are produced. write_s: what each row of login_grant takes the database's disk."""

    stage: Stage
    load: Load
    database: str
    seconds: float
    write_s: float = 0.0

    @property
    def calls(self) -> Path:
        """What the game servers have noted."""
        return self.stage.folder / "game_servers.jsonl"

    def given(self, what: str) -> Path:
        """What a front end has noted: `produced` so many until `at`."""
        return self.stage.folder / f"{what}.jsonl"

    def spike(self) -> tuple[float, float]:
        """From when until when, by the clock, as the logins had it."""
        began: float = ledger.read(self.given("logins"))[0]["at"]
        return began + SPIKE_FROM * self.seconds, began + SPIKE_UNTIL * self.seconds

    def prepare(self) -> None:
        """The tables, the world's ledger in them, the players, and their orders of before."""
        engine = self._engine()
        schema = (HERE / SCHEMAS[engine.dialect.name]).read_text().split(";\n")
        with engine.begin() as connection:
            for statement in (*filter(str.strip, schema), *triggers(engine.dialect.name, self.write_s)):
                connection.exec_driver_sql(statement)
            players = [{"id": number} for number in range(1, self.load.accounts + 1)]
            connection.execute(text("INSERT INTO account (account_id) VALUES (:id)"), players)
            connection.execute(_ORDER, [{"state": "finished", "at": OLD}] * self.load.orders)
            young: list[dict[str, str | None]] = [{"state": "finished", "at": YOUNG}, {"state": "open", "at": None}]
            connection.execute(_ORDER, young * (YOUNG_ORDERS // 2))
        engine.dispose()

    @contextlib.contextmanager
    def partners(self) -> Iterator[None]:
        """The game servers and the payment channels, of which one each is away until the spike is on."""
        load, seed, away = json.dumps(asdict(self.load)), str(self.load.seed), str(self.seconds * SPIKE_UNTIL)
        calls = ["--ledger", str(self.calls)]
        with (
            self.stage.server("world.game_servers", *calls, "--seed", seed, "--outage", away) as url,
            self.stage.server("world.channels", "--load", load, "--outage", away) as channels,
        ):
            self.stage.environment |= {"GOP_WECHAT": f"{channels}/wechat", "GOP_UNIONPAY": f"{channels}/unionpay"}
            self._add_webhooks(url)
            yield

    @contextlib.contextmanager
    def front_ends(self) -> Iterator[list[subprocess.Popen[str]]]:
        """They have ended with 0 when all is produced."""
        load = ["--load", json.dumps(asdict(self.load)), "--seconds", str(self.seconds)]
        with contextlib.ExitStack() as stack:
            yield [
                stack.enter_context(
                    self.stage.process("world.front_end", what, *load, "--ledger", str(self.given(what)))
                )
                for what in ALL
            ]

    def _add_webhooks(self, url: str) -> None:
        engine = self._engine()
        with engine.begin() as connection:
            connection.execute(_WEBHOOK, [{"app_id": app_id, "url": f"{url}/{app_id}"} for app_id in APPS])
        engine.dispose()

    def _engine(self) -> Engine:
        return create_engine(self.database)
