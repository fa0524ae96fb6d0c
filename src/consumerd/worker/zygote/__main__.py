"""A zygote's process, from its first instruction. Runs in zygotes. Imports nothing heavy at its top.

Executed by the master as `python -m consumerd.worker.zygote FD`, or by `worker.execution` with a second descriptor,
which holds what the master sent. What it needs takes half a second to import: until then, too, it ignores TERM and INT,
which a terminal and a service manager send to everyone, and dies with its master.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Sequence

from consumerd.errors import ConsumerdError
from consumerd.model.exits import WorkerExit
from consumerd.standard_streams import make_streams_lenient, say
from consumerd.wire.inherited import die_with_parent, ignore_signals, inherited_channel


def main(arguments: Sequence[str]) -> int:
    """The top of the process."""
    ignore_signals()
    die_with_parent(True)
    make_streams_lenient()
    gc.disable()  # while we import: a tenth of that time would go into looking for garbage, and there is none
    try:
        from consumerd.worker.zygote.serving import serve

        return serve(inherited_channel(arguments[:1]), *map(int, arguments[1:]))
    except (BrokenPipeError, ConnectionResetError):
        return WorkerExit.MASTER_GONE
    except ConsumerdError as error:
        say(f"consumerd: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    try:
        exit_code = main(sys.argv[1:])
    except BaseException:  # noqa: BLE001 - the top of a process
        say(traceback.format_exc())
        exit_code = int(WorkerExit.BUG)
    from consumerd.worker.zygote.serving import leave

    leave(exit_code)
