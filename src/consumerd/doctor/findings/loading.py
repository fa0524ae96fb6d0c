"""The code of a consumer cannot be loaded, or its import does not end."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step

LONG_S = 30.0


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        now = pool.now
        if now.state == "failed" and not now.established and not pool.last_words():
            yield Finding(
                "code_not_loaded",
                pool.name,
                f"{now.target} cannot be loaded, so no worker of {pool.name} runs.",
                [now.reason, *(line.strip() for line in now.traceback.strip().splitlines()[-1:])],
                [
                    Step(f"consumerd check {facts.now.config}", "see all mistakes at once, before anything is changed"),
                    Step(f"consumerd restart {pool.name}", "load the mended code"),
                ],
                "Do not restart the master: the other consumers run.",
            )
        elif now.zygote.state == "loading" and now.zygote.since_s > LONG_S:
            yield Finding(
                "import_hangs",
                pool.name,
                f"The import of {now.target} has not ended for {now.zygote.since_s:.0f} s.",
                [f"process {now.zygote.pid} imports it"],
                [Step(f"py-spy dump --pid {now.zygote.pid}", "see what the import waits for")],
                "A module should connect to nothing while it is imported: pre_consume is the place for that.",
            )
