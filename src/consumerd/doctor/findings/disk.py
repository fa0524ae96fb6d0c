"""The disk of the state directory is full, or soon will be."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.config.amounts import size
from consumerd.doctor.facts import Facts, Finding, Step

LITTLE_BYTES = 64 * 1024**2
LITTLE_SHARE = 0.01


def find(facts: Facts) -> Iterator[Finding]:
    host = facts.host
    if host.free_bytes >= min(LITTLE_BYTES, LITTLE_SHARE * host.total_bytes):
        return
    yield Finding(
        "disk_full",
        "",
        f"The disk of the state directory {host.state_dir} is full, so that failed tasks cannot be parked in it.",
        [f"{size(host.free_bytes)} are free of {size(host.total_bytes)}"],
        [
            Step(f"df -h {host.state_dir}", "see which disk it is, and what uses it"),
            Step("consumerd status", "once there is room, tasks go on by themselves: the store is back"),
        ],
        "Do not remove anything from the state directory: the parked tasks are in it.",
    )
