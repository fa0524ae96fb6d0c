"""What is published about the configuration is what its fields say."""

import pytest
from docs.tables import PAGE, SCHEMA, models, named, page_with_tables, schema_text

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


def test_the_published_schema_is_current() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), HOW
