"""Which lines of a daemon are counted."""

from benchmarks.daemons.lines import of_python, of_section

SOURCE = '''"""A module,
of two lines."""

import os  # for its path


def path(name: str) -> str:
    """Where it is."""
    # there
    return os.path.join(
        "/tmp", name
    )
'''
ENTRIES = """
[[shop]]
name = "mails"

[shop.configs]  # its own
workers = 1
# one is enough
database = "shop.sqlite"

# Others.

[[shop]]
name = "jobs"
"""


def test_blank_lines_comments_and_docstrings_do_not_count() -> None:
    assert of_python(SOURCE) == len(["import", "def", "return", "arguments", "parenthesis"])


def test_a_text_of_several_lines_counts_as_them() -> None:
    assert of_python('QUERY = """SELECT\n1"""\n') == len(["QUERY = SELECT", "1"])


def test_an_entry_has_its_table_and_ends_with_the_next_one() -> None:
    assert of_section(ENTRIES.replace("  # its own", ""), 'name = "mails"') == len(
        ["[[shop]]", "name", "[shop.configs]", "workers", "database"]
    )


def test_the_last_entry_ends_with_the_file() -> None:
    assert of_section(ENTRIES, 'name = "jobs"') == len(["[[shop]]", "name"])
