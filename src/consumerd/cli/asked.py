"""Asking one consumer's source, for `where`, `peek` and `send`: a child process does, which imports the consumer."""

from __future__ import annotations

from consumerd.cli.check import inspection_of
from consumerd.cli.options import state_dir_of
from consumerd.config.loading import load
from consumerd.errors import ConsumerdError, NotRunningError, UsageError
from consumerd.inquiry.asking import Plain, Question, ask
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.status import ask_status

PATIENCE_S = 60.0


def running_config(state_dir: StateDirectory) -> str:
    """The configuration of the master that runs. UsageError where none does."""
    try:
        return ask_status(state_dir.control_socket).config
    except NotRunningError as error:
        raise UsageError("no master runs whose configuration could be used: name one with --config") from error


def ask_source(
    target: str, config: str | None, state_dir: StateDirectory, what: str, **question: object
) -> tuple[str, Plain]:
    """The full name of the consumer that TARGET means, and what its source answers.

    UsageError where it is asked what it cannot be asked, or the configuration has a mistake; ConsumerdError where its
    source, or the parking store, does not answer.
    """
    document = load(config if config is not None else running_config(state_dir), serves=False)
    consumer = document.chosen(target)
    asked = {
        "settings": consumer.model_dump_json(),
        "parking": document.settings.parking,
        "state_dir": str(state_dir_of(document.state_dir, state_dir).path),
        "probe": True,
        "ask": what,
        **question,
    }
    found = inspection_of(consumer, ask(Question("consumerd.worker.inspect", asked, more_s=PATIENCE_S)))
    if found.problems:
        raise UsageError("\n".join(map(str, found.problems)))
    if found.away:
        raise ConsumerdError(f"{consumer.full_name} cannot be asked now: {found.away}")
    if misuse := found.answer.get("misuse"):
        raise UsageError(misuse)
    return str(consumer.full_name), dict(found.answer)
