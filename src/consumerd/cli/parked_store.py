"""Where `consumerd parked` asks: the master, or, where none runs, a store helper of its own. Imports nothing heavy."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consumerd.config.state_dir import StateDirectory
from consumerd.errors import ConsumerdError, NotRunningError
from consumerd.wire.channel import Channel
from consumerd.wire.control import call
from consumerd.wire.messages import Message, Serve, StoreRequest, StoreResult

TIMEOUT_S = 60.0
HELPER_MODULE = "consumerd.store.helper"

Item = dict[str, Any]  # a row, as JSON brought it


def ask(state_dir: StateDirectory, config: str | None, verb: str, arguments: Mapping[str, object]) -> list[Item]:
    """All items of the answer. `config`: ask the store that it names, with the environment of this process.

    ConsumerdError with one sentence where that failed.
    """
    if config is not None:
        return _ask_helper(_serve_for(config, state_dir), verb, arguments)
    try:
        result = call(state_dir.control_socket, f"parked.{verb}", arguments, timeout_s=TIMEOUT_S)
    except NotRunningError:
        return _ask_embedded(state_dir, verb, arguments)
    assert isinstance(result, dict)
    items: list[Item] = result["items"]
    return items


def _ask_embedded(state_dir: StateDirectory, verb: str, arguments: Mapping[str, object]) -> list[Item]:
    if not state_dir.parked_database.exists():
        raise NotRunningError(
            f"no master answers on {state_dir.control_socket}, and no task is parked in {state_dir.path}: "
            "name its --state-dir, or with --config the configuration whose store is meant"
        )
    return _ask_helper(Serve(json.dumps({}), str(Path.cwd()), str(state_dir.path)), verb, arguments)


def _serve_for(config: str, state_dir: StateDirectory) -> Serve:
    from consumerd.config.loading import load  # pydantic: not for who asks the master

    document = load(config)
    return Serve(document.settings.model_dump_json(), str(document.directory), str(state_dir.path))


def _ask_helper(serve: Serve, verb: str, arguments: Mapping[str, object]) -> list[Item]:
    """Execute a helper for one request."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    channel = Channel(ours)
    try:
        with theirs:
            command = [sys.executable, "-P", "-m", HELPER_MODULE, str(theirs.fileno())]
            process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        channel.send(serve)
        channel.send(StoreRequest(1, verb, dict(arguments)))
        items = _items(channel)
    except (TimeoutError, BrokenPipeError, ConnectionResetError) as error:
        raise ConsumerdError(f"the store helper did not answer ({error}): try again") from error
    finally:
        channel.close()
    process.wait(TIMEOUT_S)
    return items


def _items(channel: Channel) -> list[Item]:
    items: list[Item] = []
    while True:
        received = channel.receive(TIMEOUT_S)
        result: Message | None = None if received is None else received[0]
        if not isinstance(result, StoreResult):
            raise ConsumerdError("the store helper ended before it had answered: what it wrote says why")
        if result.failed is not None:
            raise ConsumerdError(result.failed)
        items += result.items
        if result.is_last:
            return items
