"""`python -m consumerd.dashboard FD`: answer HTTP until the master is gone, or says `Leave`."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import closing
from pathlib import Path

from consumerd import events
from consumerd.errors import ConsumerdError, MissingExtraError, UsageError
from consumerd.events.facts import Fact
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import first_message, ignore_signals, inherited_channel
from consumerd.wire.messages import Reported, ServeDashboard

BACKLOG = 64
LEAVES_IN_S = 1.0


def main(arguments: list[str]) -> int:
    """The top of the process."""
    ignore_signals()
    try:
        with closing(inherited_channel(arguments)) as channel:
            asked, _ = first_message(channel, ServeDashboard)
            serve(asked, channel)
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the master is gone
    except ConsumerdError as error:
        sys.stderr.write(f"consumerd: {error}\n")
        return error.exit_code
    return 0


def serve(asked: ServeDashboard, channel: Channel) -> None:
    """Answer in a thread, for as long as the channel says nothing. UsageError where nothing can be answered."""
    try:
        import uvicorn

        from consumerd.dashboard.app import make_app
    except ImportError as error:
        raise MissingExtraError("To answer HTTP ([consumerd.dashboard])", "web") from error
    listening = _listening(asked.listen)
    app = make_app(StateDirectory(Path(asked.state_dir)).control_socket)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http", daemon=True)
    thread.start()
    _tell(channel, events.dashboard_ready(listen=asked.listen))
    channel.receive()
    server.should_exit = True
    thread.join(LEAVES_IN_S)


def _listening(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        advice = "choose another in [consumerd.dashboard]"
        raise UsageError(f"nobody can listen at {listen} ({getattr(error, 'strerror', error)}): {advice}") from error


def _tell(channel: Channel, fact: Fact) -> None:
    channel.send(Reported(fact.name, fact.level.value, fact.fields))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
