"""How many lines of code each daemon has: its consumer and its entry, or its script and its section.

Lines that say something: none that is blank, a comment or a docstring. What both call (`*_manager.py`) is in neither.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

SAYING_NOTHING = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
}  # fmt: skip


def of_python(source: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    saying = {
        line for token in tokens if token.type not in SAYING_NOTHING for line in range(token.start[0], token.end[0] + 1)
    }
    return len(saying - _docstrings(source))


def _docstrings(source: str) -> set[int]:
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                found |= set(range(first.lineno, (first.end_lineno or 0) + 1))
    return found


def of_section(text: str, first: str) -> int:
    """From the line that holds `first` to the next section that is not a part of it; TOML, or the form of supervisord.

    A table of TOML goes with the `[[entry]]` above it.
    """
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if first in line)
    while not lines[start].startswith("[") or (lines[start].startswith("[") and lines[start].endswith(".configs]")):
        start -= 1
    end = next(
        (number for number, line in enumerate(lines[start + 1 :], start + 1) if _begins(line)),
        len(lines),
    )
    return sum(bool(line.strip()) and not line.lstrip().startswith(("#", ";")) for line in lines[start:end])


def _begins(line: str) -> bool:
    return line.startswith("[") and not line.endswith(".configs]")


def of_consumer(example: Path, module: str, name: str) -> tuple[int, int]:
    """Of its code, and of its entry in gop.toml."""
    code = (example / "gop_consumer" / "consumers" / f"{module}.py").read_text()
    return of_python(code), of_section((example / "gop.toml").read_text(), f'name = "{name}"')


def of_script(example: Path, program: str) -> tuple[int, int]:
    """Of its code, and of its section in supervisord.conf."""
    before = example / "before"
    code = (before / f"{program}.py").read_text()
    return of_python(code), of_section((before / "supervisord.conf").read_text(), f"[program:{program}]")
