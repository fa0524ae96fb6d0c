"""`consumerd task TARGET --record JSON|@FILE`: one task through the real handler, in the foreground; nothing settled.

The handler runs in a child with this terminal, so that a debugger in it works.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import click

from consumerd.cli.asked import running_config
from consumerd.cli.options import config_option, record_bytes, state_dir_option
from consumerd.config.loading import load
from consumerd.state.state_dir import StateDirectory


@click.command()
@click.argument("target", metavar="TARGET")
@click.option("--record", metavar="JSON|@FILE", help="The payload, or a file that holds it; of a schedule: a run now.")
@config_option
@state_dir_option
def command(target: str, record: str | None, config: str | None, state_dir: StateDirectory) -> int:
    """Run one task of TARGET, a group/name, through its handler. Exit code 0 where it is done, 1 where it failed.

    Its effects are real; no source is opened, nothing is settled or parked.
    """
    document = load(config if config is not None else running_config(state_dir), serves=False)
    consumer = document.chosen(target)
    asked = {
        "settings": consumer.model_dump_json(),
        "payload": None if record is None else record_bytes(record).decode("latin-1"),
    }
    with os.fdopen(os.memfd_create("consumerd-task", 0), "w+") as question:
        json.dump(asked, question)
        question.flush()
        question.seek(0)
        command_line = [sys.executable, "-P", "-m", "consumerd.worker.single", str(question.fileno())]
        return subprocess.run(command_line, pass_fds=(question.fileno(),), check=False).returncode
