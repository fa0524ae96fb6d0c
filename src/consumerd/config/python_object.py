"""A Python object as a configuration, `module:NAME`: read by a child process, so that nobody else imports user code.

The child is `python -m consumerd.config.python_object FD SECONDS`. It is asked `{name: "module:NAME", directory}` and
answers once, with what is written there. It imports nothing heavy of ours.
"""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import asdict

import msgspec

from consumerd.config.plain import Written, unreadable, written
from consumerd.config.problems import did_you_mean
from consumerd.inquiry.asking import Question, ask, receive
from consumerd.inquiry.raised import last_line, traceback_of

_OBJECT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_object_name(text: str) -> bool:
    """Whether CONFIG has the form `module:NAME`."""
    return _OBJECT.fullmatch(text) is not None


def read_python_object(text: str, directory: str) -> Written:
    """Ask a child process to read `module:NAME`, with `directory` first on its import path."""
    answer = ask(Question(__name__, {"name": text, "directory": directory}))
    if answer.ending:
        sentence = f"reading it {answer.ending}: import its module by hand to see why"
        return unreadable(text, directory, sentence, details=answer.output)
    return msgspec.convert(answer.found, Written)


def read(name: str, directory: str) -> Written:
    """In the child: import the module and take the object; whatever user code raises becomes a sentence."""
    module_name, _, attribute = name.partition(":")
    sys.path.insert(0, directory)
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:  # noqa: BLE001 - user code, at the top of a process
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            why = f"there is no module {error.name} in {directory} or on PYTHONPATH: check the name"
            return unreadable(name, directory, why)
        raised = last_line(error, directory)
        sentence = f"importing the module {module_name} failed with {raised}: see consumerd check --traceback"
        return unreadable(name, directory, sentence, details=traceback_of(error))
    if not hasattr(module, attribute):
        advice = did_you_mean(attribute, [known for known in vars(module) if not known.startswith("_")]) or ": check it"
        return unreadable(name, directory, f"the module {module_name} has no {attribute}{advice}")
    return written(name, directory, getattr(module, attribute))


def main() -> None:
    reply, asked = receive(sys.argv[1:])
    reply.send(asdict(read(asked["name"], asked["directory"])))


if __name__ == "__main__":
    main()
