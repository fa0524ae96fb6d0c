"""Importing a consumer's class: the only import of user code. Runs in zygotes, workers, probes and the foreground."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from consumerd.config.problems import Problem, did_you_mean
from consumerd.config.shape import ConsumerSettings
from consumerd.inquiry.raised import last_line, traceback_of
from consumerd.model.contract import is_consumer


class NotLoadedError(Exception):
    """There is no class to run; `problem` says why. Its cause is what the import raised. It never leaves the loader."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def import_class(settings: ConsumerSettings) -> type:
    """The consumer's class, with the configuration's directory on the import path from now on. NotLoadedError."""
    module_name, _, class_name = settings.target.partition(":")
    directory = str(settings.directory.absolute())
    if directory not in sys.path:
        sys.path.insert(0, directory)
        importlib.invalidate_caches()
    module = _import(module_name, settings)
    found = _attribute(module, class_name, settings)
    if not is_consumer(found):
        hint = did_you_mean(class_name, _consumers_in(module))
        sentence = f"{class_name} is not a consumer{hint or ': derive it from BaseConsumer or a class that does'}"
        raise NotLoadedError(settings.place.problem(sentence, "class"))
    assert isinstance(found, type)
    return found


def _import(name: str, settings: ConsumerSettings) -> ModuleType:
    directory, key = settings.directory, settings.module_key
    try:
        return importlib.import_module(name)
    except BaseException as error:  # user code raises what it likes, SystemExit included
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            advice = _hidden(name, directory) or _nearest_module(str(error.name))
            sentence = f"there is no module {error.name} in {directory} or on PYTHONPATH{advice}"
            raise NotLoadedError(settings.place.problem(sentence, key)) from None
        sentence = f"importing {name} failed with {last_line(error, directory)}: see consumerd check --traceback"
        raise NotLoadedError(settings.place.problem(sentence, key, details=traceback_of(error))) from error


def _hidden(name: str, directory: Path) -> str:
    """Advice where another module of this name, of the standard library perhaps, was imported instead of the user's."""
    top = name.partition(".")[0]
    found = getattr(sys.modules.get(top), "__file__", None)
    own = next((each for each in (directory / f"{top}.py", directory / top) if each.exists()), None)
    if found is None or own is None or Path(found).is_relative_to(directory.absolute()):
        return ""
    return f": {top} is {found}, and {own} is hidden by it: give yours another name"


def _nearest_module(name: str) -> str:
    """Advice: the module with the nearest name beside the one that is missing."""
    parent, _, last = name.rpartition(".")
    places = getattr(sys.modules.get(parent), "__path__", None) if parent else sys.path[:1]
    siblings = [found.name for found in pkgutil.iter_modules(places)] if places else []
    return did_you_mean(last, siblings) or ": check the name"


def _attribute(module: ModuleType, class_name: str, settings: ConsumerSettings) -> object:
    """The class of this name in the module; `Outer.Inner` is one that is nested in another. NotLoadedError."""
    found: object = module
    for step in class_name.split("."):
        if not hasattr(found, step):
            near = did_you_mean(step, _consumers_in(module)) or did_you_mean(step, vars(found))
            advice = _hidden(module.__name__, settings.directory) or near or ": check the name"
            sentence = f"the module {module.__name__} has no {class_name}{advice}"
            raise NotLoadedError(settings.place.problem(sentence, "class"))
        found = getattr(found, step)
    return found


def _consumers_in(module: ModuleType) -> list[str]:
    """The module's own consumers: not the base classes that it imports."""
    return [name for name, value in vars(module).items() if is_consumer(value) and value.__module__ == module.__name__]
