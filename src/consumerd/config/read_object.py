"""`python -m consumerd.config.read_object FD SECONDS` reads a Python object as plain data. Runs in a child process.

It imports user code, and nothing heavy of ours. Asked `{name: "module:NAME", directory}`; answers once:
`{data, problems: [[path, sentence]], failed, details}`, where `failed` is a sentence if there is no such object.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from consumerd.config.plain import plain
from consumerd.config.problems import Path
from consumerd.config.suggest import did_you_mean
from consumerd.inquiry.answering import receive
from consumerd.inquiry.raised import last_line, traceback_of

Part = dict[str, Any]  # plain data, on its way to the process that asked


def read(name: str, directory: str) -> Part:
    """Import the module and take the object; all that user code raises becomes a sentence."""
    module_name, _, attribute = name.partition(":")
    sys.path.insert(0, directory)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            return _failed_import(module_name, error, directory)
        return _failed(f"there is no module {error.name} in {directory} or on PYTHONPATH: check the name")
    except BaseException as error:  # noqa: BLE001 - user code, at the top of a process
        return _failed_import(module_name, error, directory)
    if not hasattr(module, attribute):
        names = [known for known in vars(module) if not known.startswith("_")]
        return _failed(f"the module {module_name} has no {attribute}{did_you_mean(attribute, names) or ': check it'}")
    return _taken(getattr(module, attribute))


def _taken(value: object) -> Part:
    problems: list[tuple[Path, str]] = []
    data = plain(value, lambda path, sentence: problems.append((path, sentence)))
    return {"data": data, "problems": problems, "failed": "", "details": ""}


def _failed(sentence: str, details: str = "") -> Part:
    return {"data": None, "problems": [], "failed": sentence, "details": details}


def _failed_import(module_name: str, error: BaseException, directory: str) -> Part:
    sentence = (
        f"importing the module {module_name} failed with {last_line(error, directory)}: see consumerd check --traceback"
    )
    return _failed(sentence, traceback_of(error))


def main() -> None:
    reply, asked = receive(sys.argv[1:])
    reply.send(read(asked["name"], asked["directory"]), last=True)


if __name__ == "__main__":
    main()
