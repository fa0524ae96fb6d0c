"""Reading CONFIG: a `.toml` or `.json` file, or a Python object `module:NAME`, into plain data."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from consumerd.config.plain import DEEPEST, Table, Written, unreadable, written
from consumerd.config.problems import nearest
from consumerd.config.python_object import is_object_name, read_python_object
from consumerd.config.secrets import read_bytes
from consumerd.model.identity import is_unicode
from consumerd.state.working_directory import absolute, working_directory

LARGEST_BYTES = 4 * 1_048_576

_OTHER_FORMS = {
    ".py": "a Python file is named by its object, module:NAME",
    ".yaml": "YAML is not read: write it as TOML or JSON",
    ".yml": "YAML is not read: write it as TOML or JSON",
}

Parser = Callable[[str], Any]  # the document, of any shape


class UnreadableError(Exception):
    """Why a file cannot be read, as a sentence."""


def read_document(config: str) -> Written:
    """Read CONFIG. Whatever is wrong with it is among the result's problems; nothing is raised."""
    suffix = Path(config).suffix.lower()
    directory = str(absolute(config).parent)
    if not is_unicode(str(absolute(config))):
        why = "its path is not UTF-8, or this locale is not: rename what is written otherwise, or set LC_ALL=C.UTF-8"
        return unreadable(config, directory, why)
    if suffix in _PARSERS:
        return _read_file(config, directory, _PARSERS[suffix])
    if is_object_name(config):
        return read_python_object(config, str(working_directory()))
    form = _nearest_file(Path(config)) or ", or a Python object module:NAME"
    why = _OTHER_FORMS.get(suffix, f"CONFIG is a .toml or .json file{form}")
    return unreadable(config, directory, why)


def _read_file(origin: str, directory: str, parse: Parser) -> Written:
    try:
        return written(origin, directory, _parsed(_text(origin), parse))
    except UnreadableError as error:
        return unreadable(origin, directory, str(error))


def _text(origin: str) -> str:
    content = file_content(Path(origin))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableError(f"is not UTF-8 (byte {error.start}, line {line}): save it as UTF-8") from error


def file_content(path: Path) -> bytes:
    """The bytes of a configuration's file. UnreadableError."""
    try:
        return read_bytes(path, LARGEST_BYTES)
    except FileNotFoundError as error:
        raise UnreadableError(f"there is no such file{_nearest_file(path) or ': check the path'}") from error
    except IsADirectoryError as error:
        raise UnreadableError("is a directory: name a .toml or .json file in it") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnreadableError(f"cannot be read ({reason}): check the file's permissions and path") from error


def _nearest_file(path: Path) -> str:
    """Did you mean, or nothing; by the names without their suffixes: those are alike in any case."""
    try:
        found = {entry.stem: entry.name for entry in path.parent.iterdir() if entry.suffix.lower() in _PARSERS}
    except (OSError, ValueError):
        return ""
    stem = nearest(path.stem, found)
    return f"; did you mean '{path.with_name(found[stem])}'?" if stem is not None else ""


def _parsed(text: str, parse: Parser) -> Any:  # the document, of any shape
    try:
        return parse(text)
    except tomllib.TOMLDecodeError as error:
        raise UnreadableError(f"is not valid TOML: {' '.join(str(error).split())}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UnreadableError(f"is not valid JSON: {error.msg} (at {where})") from error
    except RecursionError as error:
        why = f"is nested more than {DEEPEST} levels deep: a configuration has no use for that"
        raise UnreadableError(why) from error
    except ValueError as error:
        raise UnreadableError("holds a number with too many digits: write it as text") from error


_PARSERS: dict[str, Parser] = {".toml": tomllib.loads, ".json": partial(json.loads, object_pairs_hook=Table)}
