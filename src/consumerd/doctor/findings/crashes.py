"""Workers die: of one task, or again and again."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        now, said = pool.now, pool.last_words()
        dying = [worker for worker in now.workers if worker.state == "backing_off"]
        if now.suspects:
            yield Finding(
                "task_kills_workers",
                pool.name,
                f"{now.suspects} tasks of {pool.name} were running when workers died; each is run alone, and watched.",
                list(filter(None, [said, f"{now.restarts} restarts"])),
                [
                    Step(f"consumerd logs {pool.name}", "see how the workers died"),
                    Step(f"consumerd parked list {pool.name}", "one that has killed too many is kept there"),
                ],
                "Do not retry parked tasks that say that they have killed workers, before the code is mended.",
            )
        elif (now.state == "failed" and said) or len(dying) > 1 or any(worker.restarts > 2 for worker in dying):
            yield Finding(
                "crash_loop",
                pool.name,
                f"Workers of {pool.name} die again and again, and each start waits longer.",
                list(filter(None, [now.reason, said])),
                [
                    Step(f"consumerd logs {pool.name}", "see what they say at their end"),
                    Step(f"consumerd restart {pool.name} --wait", "once the code, or what it needs, is mended"),
                ],
                "Do not restart the master: it starts them all at once, and changes nothing.",
            )
