"""`python -m consumerd.dashboard FD`: answer HTTP until the master is gone, or says `Leave`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from consumerd import events
from consumerd.clock import wall
from consumerd.config.dashboard import DashboardSettings
from consumerd.errors import ConsumerdError, MissingExtraError
from consumerd.events.facts import Fact
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import first_message, ignore_signals, inherited_channel
from consumerd.wire.messages import Reported, ServeDashboard


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
        from consumerd.dashboard.history_file import kept_history
        from consumerd.dashboard.master import Master
        from consumerd.dashboard.memory import Memory
        from consumerd.dashboard.serving import access_of, listening_at, serving
    except ImportError as error:
        raise MissingExtraError("To answer HTTP ([consumerd.dashboard])", "web") from error
    settings, directory = DashboardSettings.model_validate_json(asked.settings), Path(asked.directory)
    access = access_of(settings, directory)
    listening = listening_at(settings.listen, "choose another in [consumerd.dashboard]")
    master = Master(StateDirectory(Path(asked.state_dir)).control_socket)
    day = settings.history_file and kept_history(directory / settings.history_file, wall())
    with serving(settings, access, master, Memory(day or None), listening):
        _tell(channel, events.dashboard_ready(listen=settings.listen))
        channel.receive()


def _tell(channel: Channel, fact: Fact) -> None:
    channel.send(Reported(fact.name, fact.level.value, fact.fields))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
