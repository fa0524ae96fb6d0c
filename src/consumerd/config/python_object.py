"""A Python object as a configuration, `module:NAME`: read by a child process, so that nobody else imports user code.

The child is `python -m consumerd.config.python_object FD SECONDS`. It is asked `{name: "module:NAME", directory}` and
answers once: `{data, problems: [[path, sentence]], failed, details}`, where `failed` is a sentence if there is no such
object. It imports nothing heavy of ours.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any

from consumerd.config.plain import Written, plain, unreadable
from consumerd.config.problems import KeyPath, Problem, did_you_mean
from consumerd.inquiry.answering import receive
from consumerd.inquiry.asking import Question, ask
from consumerd.inquiry.raised import last_line, traceback_of

_OBJECT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

Part = dict[str, Any]  # plain data, on its way to the process that asked


def is_object_name(text: str) -> bool:
    """Whether CONFIG has the form `module:NAME`."""
    return _OBJECT.fullmatch(text) is not None


def read_python_object(text: str, directory: str) -> Written:
    """Ask a child process to read `module:NAME`, with `directory` first on its import path."""
    answer = ask(Question(__name__, {"name": text, "directory": directory}))
    if not answer.is_complete:
        sentence = f"reading it {answer.ending}: import its module by hand to see why"
        return unreadable(text, directory, sentence, details=answer.output)
    [part] = answer.parts
    if part["failed"]:
        return unreadable(text, directory, part["failed"], details=part["details"])
    problems = tuple(Problem(text, tuple(path), sentence) for path, sentence in part["problems"])
    return Written(text, directory, part["data"], problems)


def read(name: str, directory: str) -> Part:
    """In the child: import the module and take the object; whatever user code raises becomes a sentence."""
    module_name, _, attribute = name.partition(":")
    sys.path.insert(0, directory)
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:  # noqa: BLE001 - user code, at the top of a process
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            return _failed(f"there is no module {error.name} in {directory} or on PYTHONPATH: check the name")
        raised = last_line(error, directory)
        sentence = f"importing the module {module_name} failed with {raised}: see consumerd check --traceback"
        return _failed(sentence, traceback_of(error))
    if not hasattr(module, attribute):
        names = [known for known in vars(module) if not known.startswith("_")]
        return _failed(f"the module {module_name} has no {attribute}{did_you_mean(attribute, names) or ': check it'}")
    problems: list[tuple[KeyPath, str]] = []
    data = plain(getattr(module, attribute), lambda path, sentence: problems.append((path, sentence)))
    return {"data": data, "problems": problems, "failed": "", "details": ""}


def _failed(sentence: str, details: str = "") -> Part:
    return {"data": None, "problems": [], "failed": sentence, "details": details}


def main() -> None:
    reply, asked = receive(sys.argv[1:])
    reply.send(read(asked["name"], asked["directory"]), last=True)


if __name__ == "__main__":
    main()
