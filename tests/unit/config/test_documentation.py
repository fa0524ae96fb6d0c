"""What is published about the configuration is what its fields say."""

import re

import pytest
from docs.tables import DOCS, PAGE, SCHEMA, models, named, page_with_tables, schema_text

from consumerd.config.common_keys import MASTERS_KEYS

HOW = "write it anew: make docs"


def test_the_tables_of_the_page_are_the_fields() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with_tables(page), HOW


def test_every_model_with_keys_has_its_table() -> None:
    assert named(PAGE.read_text(encoding="utf-8")) == {name for name, model in models().items() if model.model_fields}


@pytest.mark.parametrize("name", models())
def test_every_key_is_described_in_a_full_sentence(name: str) -> None:
    fields = models()[name].model_fields
    assert [key for key, info in fields.items() if not (info.description or "").endswith((".", ".`"))] == []


def test_the_keys_whose_change_restarts_nobody_are_named() -> None:
    operating = (DOCS / "operating.md").read_text(encoding="utf-8")
    [sentence] = re.findall(r"A change of ([^.]*?)\s+restarts nobody", operating)
    assert set(re.findall(r"`(\w+)`", sentence)) == MASTERS_KEYS - {"enabled"}


def test_the_published_schema_is_current() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), HOW
