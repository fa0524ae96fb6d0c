"""Lines for people: tables, notes that fit the terminal, and nothing in them that steers it. Imports nothing heavy."""

from __future__ import annotations

import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence


def terminal_width() -> int | None:
    """How many columns the terminal has that stdout is; None where stdout is none: a program reads whole lines."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    import shutil  # not for programs, which ask often

    return shutil.get_terminal_size().columns


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()) -> list[str]:
    """Lines with columns as wide as their widest cell; the columns of `numbers` end together."""
    cells = [headings, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    signs = [">" if heading in numbers else "<" for heading in headings]
    form = "  ".join(f"{{:{sign}{width}}}" for sign, width in zip(signs, widths, strict=True))
    return [form.format(*row).rstrip() for row in cells]


def named_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = (), width: int | None
) -> tuple[list[str], list[list[str]]]:
    """The heading, and the lines of each row. Where the table is too wide, names, its first cells, have own lines."""
    heading, *lines = table(headings, rows, numbers=numbers)
    if width is None or max(map(len, (heading, *lines))) <= width:
        return [heading], [[line] for line in lines]
    heading, *lines = table(headings[1:], [row[1:] for row in rows], numbers=numbers)
    return [headings[0], f"  {heading}"], [[row[0], f"  {line}"] for row, line in zip(rows, lines, strict=True)]


def note(text: str, width: int | None) -> list[str]:
    """A text below a line, moved to the right; over several lines where it is wider than the terminal."""
    line = printable(text)
    if width is None or not line:
        return [f"  {line}"] if line else []
    return textwrap.wrap(
        line,
        max(width, 20),
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def printable(text: str) -> str:
    """Text for a terminal: control characters, which may come from a task, as escapes."""
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in ("Cc", "Cf", "Cs")
        else character
        for character in text
    )


def printable_lines(text: str) -> str:
    """The same of a text of several lines, which stay lines."""
    return "\n".join(map(printable, text.split("\n")))
