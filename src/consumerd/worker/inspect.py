"""`python -m consumerd.worker.inspect FD SECONDS`: looks at one consumer for `check`. Runs in a probe of its own.

Asked `{settings, parking, probe}`. It answers with an `Inspection` once the consumer is loaded; where it is asked to
probe and the consumer holds up, it answers again with how far the source is behind, and what its table lacks. It
changes nothing, unless it is asked with `{table}`, true, to make what is lacking; with false to find out only that.
With `{ask}` it asks the source what `where`, `peek` and `send` ask (`worker.asked`), in the place of how far it is.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from consumerd.config.problems import Inspection, Problem
from consumerd.config.shape import ConsumerSettings
from consumerd.errors import ConsumerdError, SourceRefusedError, StoreAwayError
from consumerd.inquiry.asking import Plain, Reply, receive
from consumerd.model.failure import one_line
from consumerd.parking.opening import ask_parking, check_parking, resolve_parking
from consumerd.sources.contract import SourceKind
from consumerd.worker.code.leftovers import Inventory
from consumerd.worker.code.loader import LoadedConsumer, examine_consumer
from consumerd.worker.execution import NotExecutedError, copied, execute_as


def main() -> None:
    reply, asked = receive(sys.argv[1:])
    settings = ConsumerSettings.model_validate_json(asked["settings"])
    if not settings.execution.is_plain and not asked.get("is_executed"):
        found, loaded = _enter(settings, asked, reply), None
    else:
        found, loaded = _inspect(settings, asked)
    is_probing = loaded is not None and asked["probe"]
    reply.send(asdict(found), is_last=not is_probing)
    if loaded is not None and is_probing:
        reply.send(asdict(probed(found, loaded, settings, _question(asked, loaded, settings))))


def _question(asked: Plain, loaded: LoadedConsumer, settings: ConsumerSettings) -> Ask:
    """What the source is asked for."""
    if "ask" in asked:
        from consumerd.worker.asked import answer  # it runs the class, as a worker does: not for `check`

        return lambda kind, options: {"answer": answer(loaded, settings, asked)}
    return _look if asked.get("table") is None else partial(_change, is_made=asked["table"])


def _enter(settings: ConsumerSettings, asked: Plain, reply: Reply) -> Inspection:
    """Be executed anew as the entry says, with the same question; returns only where that fails.

    What can be seen without trying, a variable that is not set for instance, was seen by who asks: it says that.
    """
    if settings.execution.examine(os.environ, os.geteuid())[1]:
        return Inspection()
    question = copied(json.dumps({**asked, "is_executed": True}), "consumerd-question")
    os.dup2(question, sys.stdin.fileno())
    try:
        execute_as(settings.execution, ["consumerd.worker.inspect", *sys.argv[1:]], pass_fds=(reply.fd,))
    except NotExecutedError as error:
        return Inspection((settings.configs_place.problem(str(error)),))


def _inspect(settings: ConsumerSettings, asked: Plain) -> tuple[Inspection, LoadedConsumer | None]:
    """All that is found without asking the source, and the consumer where nothing is wrong with it.

    What user code raises besides (a validator, a property of the class) is a problem too.
    """
    before = Inventory.now()
    try:
        examined = examine_consumer(settings, os.environ)
    except Exception as error:  # noqa: BLE001 - the top of a process, around user code
        sentence = f"looking at the class failed with {one_line(error)}: see consumerd check --traceback"
        return Inspection((settings.place.problem(sentence, details=traceback.format_exc()),)), None
    loaded, problems, remarks = examined.loaded, list(examined.problems), list[str]()
    if loaded is not None:
        is_forking = settings.common.start == "fork"
        remarks += [
            *loaded.remarks,
            *loaded.kind.remarks(loaded.options),
            *before.left_since().remarks(is_forking=is_forking),
        ]
        problems += _client_problems(loaded, settings)
    try:
        complaint = _parking_complaint(asked["parking"], settings.directory, is_asking=asked["probe"])
        problems += [Problem(settings.origin, ("consumerd", "parking"), complaint)] if complaint else []
    except StoreAwayError as error:
        remarks.append(str(error))
    if loaded is None or problems:
        return Inspection(tuple(problems)), None
    return Inspection(source=loaded.kind.name, remarks=tuple(remarks)), loaded


def _client_problems(loaded: LoadedConsumer, settings: ConsumerSettings) -> list[Problem]:
    """What the source's client library has against the options."""
    try:
        found = list(loaded.kind.complaints(loaded.options))
    except ConsumerdError as error:
        found = [("", str(error))]
    place, redact = settings.configs_place, loaded.redactor.redact
    return [place.problem(redact(sentence), *([key] if key else [])) for key, sentence in found]


def _parking_complaint(parking: str | None, directory: Path, *, is_asking: bool) -> str | None:
    """What keeps the workers from using the parking store, or None. Every consumer says the same of it.

    StoreAwayError where the store was to be asked, and cannot be reached: it may be up when the consumers run.
    """
    try:
        resolved, redactor = resolve_parking(parking, os.environ, directory)
    except ConsumerdError as error:
        return str(error)
    try:
        check_parking(resolved, Path())  # an embedded store is wherever the state will be
        if is_asking:
            ask_parking(resolved)
    except StoreAwayError as error:
        raise StoreAwayError(redactor.redact(str(error))) from error
    except ConsumerdError as error:
        return redactor.redact(str(error))
    return None


def _look(kind: SourceKind, options: Mapping[str, object]) -> dict[str, Any]:
    """The lag of every shard, and what the table lacks."""
    lag = tuple(asdict(shard) for shard in kind.probe(options))
    return {"lag": lag} | (_change(kind, options, is_made=False) if kind.changes is not None else {})


def _change(kind: SourceKind, options: Mapping[str, object], *, is_made: bool) -> dict[str, Any]:
    """What the table lacks, which is made where that is wanted."""
    if kind.changes is None:
        raise SourceRefusedError(f"its source is {kind.name}, which has no table that consumerd could make")
    return {"changes": tuple(asdict(change) for change in kind.changes(options, is_made))}


Ask = Callable[[SourceKind, Mapping[str, object]], dict[str, Any]]
"""Asks a source for fields of an `Inspection`."""


def probed(found: Inspection, loaded: LoadedConsumer, settings: ConsumerSettings, ask: Ask = _look) -> Inspection:
    """The same with what the source is asked for; or with why it cannot be asked, or refuses."""
    redact = loaded.redactor.redact
    try:
        more = ask(loaded.kind, loaded.options.model_dump(by_alias=True))
    except SourceRefusedError as error:
        return replace(found, problems=(settings.configs_place.problem(redact(str(error))),))
    except ConsumerdError as error:
        return replace(found, away=redact(str(error)))
    except LookupError as error:  # nothing that is away raises it
        sentence = redact(f"its source cannot be asked: {type(error).__name__}: {error}")
        return replace(found, problems=(settings.configs_place.problem(sentence),))
    except Exception as error:  # noqa: BLE001 - the top of a process, around a source that may be anybody's
        return replace(found, away=redact(f"{type(error).__name__}: {error}"))
    return replace(found, **more)


if __name__ == "__main__":
    main()
