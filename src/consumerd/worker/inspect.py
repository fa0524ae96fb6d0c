"""`python -m consumerd.worker.inspect FD SECONDS`: looks at one consumer for `check`. Runs in a probe of its own.

Asked `{settings, parking, probe}`. Answers twice: what loading the consumer found, `{problems, loaded}`; then, where it
is asked to probe and the consumer holds up, how far its source is behind, `{lag, away, refused}`. It changes nothing.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from consumerd.config.problems import Problem
from consumerd.config.shape import ConsumerSettings
from consumerd.errors import ConsumerdError, SourceRefusedError, StoreAwayError
from consumerd.inquiry.answering import Reply, receive
from consumerd.model.failure import one_line
from consumerd.parking.opening import ask_parking, check_parking, resolve_parking
from consumerd.worker.code.leftovers import Inventory
from consumerd.worker.code.loader import Examined, LoadedConsumer, examine_consumer
from consumerd.worker.zygote.entrance import NotEnteredError, copied, enter

Part = dict[str, Any]  # plain data, on its way to `check`


def main() -> None:
    reply, asked = receive(sys.argv[1:])
    settings = ConsumerSettings.model_validate_json(asked["settings"])
    examined = _entered(settings, asked, reply) or _examined(settings, asked)
    is_last = examined.loaded is None or not asked["probe"]
    reply.send(_found(examined), last=is_last)
    if examined.loaded is not None and not is_last:
        reply.send(_probe(examined.loaded), last=True)


def _entered(settings: ConsumerSettings, asked: Part, reply: Reply) -> Examined | None:
    """Be executed anew as the entry says, with the same question; why that failed, or None where we are there.

    What can be seen without trying, a variable that is not set for instance, was seen by who asks: it says that.
    """
    if settings.execution.is_plain or asked.get("has_entered"):
        return None
    if settings.execution.examine(os.environ, os.geteuid())[1]:
        return Examined(None, ())
    question = copied(json.dumps({**asked, "has_entered": True}), "consumerd-question")
    os.dup2(question, sys.stdin.fileno())
    try:
        enter(settings.execution, ["consumerd.worker.inspect", *sys.argv[1:]], pass_fds=(reply.fd,))
    except NotEnteredError as error:
        return Examined(None, (Problem(settings.origin, (*settings.path, "configs"), str(error)),))


def _examined(settings: ConsumerSettings, asked: Part) -> Examined:
    """All that is found without asking the source."""
    before = Inventory.now()
    examined = _with_leftovers(_examine(settings), before, settings.common.start)
    return _with_parking(_with_complaints(examined, settings), settings, asked)


def _examine(settings: ConsumerSettings) -> Examined:
    """What loading finds; what user code raises besides (a validator, a property of the class) is a problem too."""
    try:
        return examine_consumer(settings, os.environ)
    except Exception as error:  # noqa: BLE001 - the top of a process, around user code
        sentence = f"looking at the class failed with {one_line(error)}: see consumerd check --traceback"
        return Examined(None, (Problem(settings.origin, settings.path, sentence, traceback.format_exc()),))


def _with_leftovers(examined: Examined, before: Inventory, start: str) -> Examined:
    """What the import leaves behind is a remark, as the zygote will make it."""
    if examined.loaded is None:
        return examined
    remarks = before.left_since().remarks(is_forking=start == "fork")
    return replace(examined, loaded=replace(examined.loaded, remarks=(*examined.loaded.remarks, *remarks)))


def _with_parking(examined: Examined, settings: ConsumerSettings, asked: Part) -> Examined:
    """What keeps the workers from using the parking store is a problem too; every consumer says the same.

    A store that cannot be reached now is a remark: it may be up when the consumers run.
    """
    try:
        sentence = _parking_complaint(asked["parking"], settings.directory, is_asking=asked["probe"])
    except StoreAwayError as error:
        if examined.loaded is None:
            return examined
        return replace(examined, loaded=replace(examined.loaded, remarks=(*examined.loaded.remarks, str(error))))
    if sentence is None:
        return examined
    problem = Problem(settings.origin, ("consumerd", "parking"), sentence)
    return replace(examined, loaded=None, problems=(*examined.problems, problem))


def _with_complaints(examined: Examined, settings: ConsumerSettings) -> Examined:
    """What the source's client library has against the options."""
    if examined.loaded is None:
        return examined
    redact = examined.loaded.redactor.redact
    try:
        found = tuple(examined.loaded.kind.complaints(examined.loaded.options))
    except ConsumerdError as error:
        found = (("", str(error)),)
    problems = tuple(Problem(settings.origin, _path_of(key, settings), redact(sentence)) for key, sentence in found)
    return replace(examined, loaded=None if problems else examined.loaded, problems=(*examined.problems, *problems))


def _path_of(key: str, settings: ConsumerSettings) -> tuple[str | int, ...]:
    """Where a key is written; the consumer's keys as a whole for none."""
    if key in settings.defaulted:
        return ("consumerd", "defaults", key)
    return (*settings.path, "configs", *([key] if key else []))


def _parking_complaint(parking: str | None, directory: Path, *, is_asking: bool) -> str | None:
    """What is wrong with the parking store, or None. StoreAwayError where it was to be asked, and cannot be reached."""
    try:
        resolved = resolve_parking(parking, os.environ, directory)
    except ConsumerdError as error:
        return str(error)
    try:
        check_parking(resolved.value, Path())  # an embedded store is wherever the state will be
        if is_asking:
            ask_parking(resolved.value)
    except StoreAwayError as error:
        raise StoreAwayError(resolved.redactor.redact(str(error))) from error
    except ConsumerdError as error:
        return resolved.redactor.redact(str(error))
    return None


def _found(examined: Examined) -> Part:
    loaded = examined.loaded
    return {
        "problems": [asdict(problem) for problem in examined.problems],
        "loaded": None if loaded is None else {"source": loaded.kind.name, "remarks": list(loaded.remarks)},
    }


def _probe(loaded: LoadedConsumer) -> Part:
    """The lag of every shard; or why the source cannot be asked, or refuses, as a sentence."""
    try:
        lag = loaded.kind.probe(loaded.options.model_dump(by_alias=True))
    except SourceRefusedError as error:
        return {"lag": [], "away": "", "refused": loaded.redactor.redact(str(error))}
    except ConsumerdError as error:
        return {"lag": [], "away": loaded.redactor.redact(str(error))}
    except Exception as error:  # noqa: BLE001 - the top of a process, around a source that may be anybody's
        return {"lag": [], "away": loaded.redactor.redact(f"{type(error).__name__}: {error}")}
    return {"lag": [asdict(shard) for shard in lag], "away": ""}


if __name__ == "__main__":
    main()
