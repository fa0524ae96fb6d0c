"""A Python object as a configuration, `module:NAME`, read by a child process: the master imports no user code."""

from __future__ import annotations

import re

from consumerd.config.problems import Problem
from consumerd.config.written import Written, unreadable
from consumerd.inquiry.asking import Question, ask

_OBJECT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_object_name(text: str) -> bool:
    """Whether CONFIG has the form `module:NAME`."""
    return _OBJECT.fullmatch(text) is not None


def read_python_object(text: str, directory: str) -> Written:
    """Read `module:NAME`, with `directory` first on the import path."""
    answer = ask(Question("consumerd.config.read_object", {"name": text, "directory": directory}))
    if not answer.is_complete:
        sentence = f"reading it {answer.ending}: import its module by hand to see why"
        return unreadable(text, directory, sentence, details=answer.output)
    [part] = answer.parts
    if part["failed"]:
        return unreadable(text, directory, part["failed"], details=part["details"])
    problems = tuple(Problem(text, tuple(path), sentence) for path, sentence in part["problems"])
    return Written(text, directory, part["data"], problems)
