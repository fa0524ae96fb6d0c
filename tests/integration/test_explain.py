"""`consumerd explain`, of a pool, a worker, tasks that run and that are parked, on a real master."""

from __future__ import annotations

from pathlib import Path

from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import entry, wait_for, write_config


def explained(master: Running, target: str) -> dict[str, str]:
    """What it says of one target, by what each sentence is about."""
    (found,) = master.answer("explain", target)
    assert found["target"] == target
    return {said["about"]: said["sentence"] for said in found["because"]}


def test_a_pool_a_worker_and_tasks_say_why_they_are_as_they_are(state_dir: Path, tmp_path: Path) -> None:
    small = [entry("Counting"), entry("Hanging"), entry("Failing", retry_times=0)]
    config = write_config(tmp_path, *small)
    with running(config, state_dir=state_dir, log=tmp_path / "log", env=environment()) as master:
        wait_for(master, lambda found: all(pool["workers_running"] for pool in found["pools"]), "three workers")
        wait_for(master, lambda found: found["pools"][1]["workers"][0]["running"], "a task that hangs")
        assert master.verb("scale", "small/counting", "2").returncode == 0
        assert master.verb("pause", "small/counting").returncode == 0

        paused = explained(master, "small/counting")
        assert "has paused it" in paused["held"]
        assert "was set to 2 by" in paused["by_hand"]
        assert "each of their places (1) is taken" in explained(master, "small/hanging")["held"]

        assert explained(master, "small/hanging#0")["doing"].startswith("It runs 1 of 1 tasks")
        assert explained(master, "small/hanging#0:0:0")["next"].startswith("To end the attempt: consumerd cancel")

        wait_for(master, lambda found: found["pools"][2]["parked"] == 3, "three that have failed")
        parked = master.parked()[0]
        for name in (parked["handle"], parked["task_id"]):
            said = explained(master, name)
            assert "parked as dead, after one attempt; the last, at" in said["state"]
            assert f"consumerd parked retry {parked['handle']}" in said["next"]

        assert b"each of their places" in master.verb("explain", "small").stdout
        for unknown in ("small/countin", "small/counting#7", "nothing-of-this-name"):
            refused = master.verb("explain", unknown)
            assert (refused.returncode, refused.stderr.count(b"\n"), refused.stdout) == (2, 1, b"")
    assert master.verb("explain", "small").returncode != 0
