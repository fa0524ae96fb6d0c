"""Environment files: lines `KEY=VALUE`. Imports nothing heavy.

Blank lines and lines that begin with `#` are skipped. White space around the key and the value is left out, and so is
one pair of quotes around the whole value; nothing else has a meaning, so that a password may hold any character.
"""

from __future__ import annotations

from pathlib import Path

from consumerd.config.secrets import UnresolvedError, read_text

_QUOTES = ('"', "'")


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a file, the last of a name; UnresolvedError with one sentence, which holds no value."""
    try:
        return parse_env_file(read_text(path))
    except OSError as error:
        raise UnresolvedError(f"the file {str(path)!r} cannot be read ({error.strerror}): check the path") from error
    except ValueError as error:
        raise UnresolvedError(f"the file {str(path)!r} is no environment file: {error}") from error


def parse_env_file(text: str) -> dict[str, str]:
    """The variables of a file's text. ValueError names the first line that has none."""
    variables = {}
    for number, line in enumerate(text.split("\n"), start=1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        key, separator, value = written.partition("=")
        name = key.strip()
        if not separator or not is_variable_name(name) or "\0" in value:
            raise ValueError(f"line {number} is not KEY=VALUE")
        variables[name] = _unquoted(value.strip())
    return variables


def is_variable_name(name: str) -> bool:
    """Whether the system could give a variable of this name to a process, and a person could mean it."""
    return bool(name) and not any(character in "=\0" or character.isspace() for character in name)


def _unquoted(value: str) -> str:
    is_quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in _QUOTES
    return value[1:-1] if is_quoted else value
