"""A worker for supervisors that execute theirs: tells the benchmark that it is in its loop, and idles, or ends."""

from __future__ import annotations

import os
import sys
import time

from benchmarks.hello import announce

if __name__ == "__main__":
    announce()
    if sys.argv[1:] == ["crash"]:
        os._exit(1)
    while True:
        time.sleep(3600)
