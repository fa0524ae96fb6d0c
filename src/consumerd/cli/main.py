"""The command `consumerd`: finds the verb, and turns whatever comes out of it into one sentence and an exit code.

Exit codes: 0 fine, 1 failed, 2 used or configured wrongly, 70 a bug of ours, 130 interrupted; an error of our own tree
brings its own. A verb ends by returning its exit code (None is 0), or by raising. What becomes of its output changes
that for no verb but those that only show something.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from consumerd.cli.verbs import Verbs
from consumerd.errors import ConsumerdError, NotRunningError
from consumerd.model.exits import WorkerExit
from consumerd.standard_streams import make_streams_lenient
from consumerd.state.state_dir import StateDirectory
from consumerd.version import __version__

INTERRUPTED = 130

HELD_BACK = (signal.SIGTERM, signal.SIGHUP)
"""What the kernel throws away for process 1 of a container until a handler stands. `run` takes them when its own do."""


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="consumerd", message="%(prog)s %(version)s")
def consumerd() -> None:
    """Run daemon consumers, and keep them running. CONFIG is a .toml or .json file, or module:NAME."""


def main(arguments: Sequence[str] | None = None, command: click.Command = consumerd) -> int:
    """Run one verb and return its exit code. All that goes wrong ends here, said on stderr."""
    if os.getpid() == 1 and "run" in (sys.argv[1:] if arguments is None else arguments)[:1]:
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    if arguments is None:
        make_streams_lenient(hushed=(BrokenPipeError,))
    exit_code = _run(arguments, command)
    sys.stdout.flush()
    return exit_code


def _run(arguments: Sequence[str] | None, command: click.Command) -> int:
    try:
        result: object = command.main(arguments, prog_name="consumerd", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except NotRunningError as error:
        return _say(error, more=_unreachable_master(error))
    except ConsumerdError as error:
        return _say(error)
    except Exception:  # noqa: BLE001 - the top of a process
        sys.stderr.write("consumerd: internal error, please report it with what follows\n" + traceback.format_exc())
        return int(WorkerExit.BUG)
    return result if isinstance(result, int) else 0


def _unreachable_master(error: NotRunningError) -> str:
    """What to say of a master that lives and cannot be reached; empty where there is none."""
    from consumerd.state import locks  # not on the way of a verb that goes well

    pid = locks.holder(StateDirectory(Path(error.socket).parent)) if error.socket else None
    if pid is None:
        return ""
    return f"but the master with pid {pid} runs and makes its socket anew: try again, or end it by its pid"


def _say(error: ConsumerdError, more: str = "") -> int:
    """One line for an error, one for each of its problems where it has several."""
    from consumerd.cli.lines import printable  # not on the way of a verb that goes well

    for line in f"{error}\n{more}".splitlines():
        sys.stderr.write(f"consumerd: {printable(line)}\n")
    return error.exit_code
