"""Writes what the documents say of the configuration's keys from their fields; `make docs` runs it.

In `configuration.md`, a table of keys stands between `<!-- keys: NAME -->` and `<!-- end -->`; its rows are made anew.
"""

import json
import re
from importlib.metadata import entry_points
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from consumerd.config.common_keys import CommonKeys
from consumerd.config.dashboard import DashboardSettings
from consumerd.config.keys.breaker import BreakerKeys
from consumerd.config.keys.coalescing import Coalesce
from consumerd.config.keys.concurrency import Concurrency
from consumerd.config.keys.throttle import Throttle
from consumerd.config.keys.traces import Traces
from consumerd.config.keys.worker_range import WorkerRange
from consumerd.config.schema import json_schema
from consumerd.config.shape import Entry, LimitNumbers, LimitSettings, LogSettings, Settings

DOCS = Path(__file__).parent
PAGE = DOCS / "configuration.md"
SCHEMA = DOCS / "configuration.schema.json"

_TABLE = re.compile(r"(?<=<!-- keys: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
_HEAD = "| key | default | what it does |\n|---|---|---|\n"


def models() -> dict[str, type[BaseModel]]:
    """Every model whose keys somebody may write, by its name; the options of the sources by the source's."""
    of_consumers = (CommonKeys, WorkerRange, Concurrency, BreakerKeys, Coalesce, Throttle, Traces)
    own: tuple[type[BaseModel], ...] = (
        Entry,
        *of_consumers,
        Settings,
        LimitSettings,
        LimitNumbers,
        DashboardSettings,
    )
    sources = {point.name: point.load().options for point in entry_points(group="consumerd.sources")}
    return {model.__name__: model for model in own} | sources


def rows(model: type[BaseModel], before: str = "") -> str:
    """A row for each key, in the order of the fields; of a table within, a row for each of its keys."""
    text = ""
    for name, info in model.model_fields.items():
        key = f"{before}{info.alias or name}"
        text += rows(LogSettings, f"{key}.") if info.annotation is LogSettings else row(key, info)
    return text


def row(key: str, info: FieldInfo) -> str:
    assert info.description, f"{key} has no description"
    return f"| `{key}` | {default(info)} | {info.description} |\n"


def default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value is None or value == "":
        return "–"
    if isinstance(value, BaseModel):
        return json.dumps(value.model_dump())
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    return f"{value:g}" if isinstance(value, float) else f"`{value}`" if isinstance(value, str) else json.dumps(value)


def page_with_tables(page: str) -> str:
    """The page, its tables as the fields have them."""
    known = models()
    return _TABLE.sub(lambda found: f"{found[1]}{found[2]}{_HEAD}{rows(known[found[1]])}", page)


def named(page: str) -> set[str]:
    """The models whose tables stand in the page."""
    return {found[1] for found in _TABLE.finditer(page)}


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2) + "\n"


def main() -> None:
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
