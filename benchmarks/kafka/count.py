"""What every measured process counts: the records that it has handled, from the first to the last of them.

The standard library alone: peers, in an environment of their own, count in the same way.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path

from benchmarks.hello import DIRECTORY, announce

ANSWER = "answer"
"""A file in the benchmark's directory: the pace and the CPU time between the first record and the last."""


class Count:
    """Called for each record, or told of several at once; at the last of `records` it writes the answer.

    cpu_us: of all threads of this process, a record.
    """

    def __init__(self, records: int) -> None:
        self._next = itertools.count(1).__next__
        self._marks = {1, records}
        self._records = records
        self._counted = 0
        self._began: tuple[int, float, float] | None = None

    def __call__(self) -> None:
        """One more record is handled."""
        if (number := self._next()) in self._marks:
            self._note(number)

    def add(self, records: int) -> None:
        """So many more are handled."""
        before, self._counted = self._counted, self._counted + records
        if before == 0 or before < self._records <= self._counted:
            self._note(self._counted)

    def _note(self, number: int) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        if self._began is None:
            self._began = number, wall, cpu
            return
        first, began_wall, began_cpu = self._began
        records = number - first
        answer = {"pace": records / (wall - began_wall), "cpu_us": (cpu - began_cpu) / records * 1e6}
        Path(os.environ[DIRECTORY], ANSWER).write_text(json.dumps(answer))
        announce()
