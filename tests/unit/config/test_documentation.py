"""What is published about the configuration is what the code does."""

import json
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from pydantic import BaseModel

from consumerd.config.common_keys import CommonKeys
from consumerd.config.schema import json_schema
from consumerd.config.shape import Entry, LogSettings, Settings
from consumerd.config.tables import keys_of

DOCS = Path(__file__).parents[3] / "docs"


def documented() -> str:
    return (DOCS / "configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", [Entry, CommonKeys, Settings])
def test_every_key_is_documented(model: type[BaseModel]) -> None:
    text = documented()
    keys = [key for key in keys_of(model) if key != "log"]
    assert [key for key in keys if f"| `{key}` |" not in text] == []


def test_every_key_of_log_is_documented() -> None:
    assert [key for key in keys_of(LogSettings) if f"| `log.{key}` |" not in documented()] == []


@pytest.mark.parametrize("source", [point.name for point in entry_points(group="consumerd.sources")])
def test_every_key_of_a_source_is_documented(source: str) -> None:
    [point] = entry_points(group="consumerd.sources", name=source)
    text = documented()
    assert [key for key in keys_of(point.load().options) if f"`{key}`" not in text] == []


@pytest.mark.parametrize("model", [CommonKeys, Settings])
def test_documented_defaults_are_the_codes(model: type[BaseModel]) -> None:
    text = documented()
    for key, info in model.model_fields.items():
        if isinstance(info.default, int | float | str):
            default = f"`{info.default}`" if isinstance(info.default, str) else f"{info.default:g}"
            default = str(info.default) if isinstance(info.default, int) else default
            assert f"| `{key}` | {default} |" in text, key


def test_the_published_schema_is_current() -> None:
    published = json.loads((DOCS / "configuration.schema.json").read_text(encoding="utf-8"))
    assert published == json_schema(), "write it anew: consumerd check --schema > docs/configuration.schema.json"
