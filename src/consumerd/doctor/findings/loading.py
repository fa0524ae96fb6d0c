"""The code of a consumer cannot be loaded, or its import or its `pre_consume` does not end."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from consumerd import clock, events
from consumerd.doctor.facts import Facts, Finding, Step, starts_for_long
from consumerd.wire.status import WorkerStatus

LONG_S = 30.0


def find(facts: Facts) -> Iterator[Finding]:
    yield from _refused(facts)
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
        elif hanging := [worker for worker in now.workers if starts_for_long(worker)]:
            yield _not_in_loop(pool.name, hanging)


def _not_in_loop(pool: str, hanging: Sequence[WorkerStatus]) -> Finding:
    first = hanging[0]
    return Finding(
        "start_hangs",
        pool,
        f"{pool} has workers that do not come to their loop: pre_consume does not end, or the source does not open.",
        [f"worker {each.slot} (pid {each.pid}) has been starting for {each.since_s:.0f} s" for each in hanging[:5]],
        [
            Step(f"consumerd stacks {pool}#{first.slot}", "see what it waits for"),
            Step(f"consumerd logs {pool}", "see what it said last"),
            Step(f"consumerd restart {pool} --wait", "run the mended code"),
        ],
        "Do not restart the master: the other consumers run.",
    )


def _refused(facts: Facts) -> Iterator[Finding]:
    """The last reload that nobody waited for was refused: the file is another than what runs."""
    names = (events.reload_refused.name, events.configuration_reloaded.name)
    told = [each for each in facts.happened if not each.consumer and each.name in names]
    if told and told[-1].name == events.reload_refused.name:
        error, config = str(told[-1].fields.get("error", "")), facts.now.config
        yield Finding(
            "configuration_refused",
            "",
            f"{config} has a mistake, so that it was not taken over; everything runs on as it was before.",
            [f"at {clock.moment(told[-1].at)}: {line.strip()}" for line in error.strip().splitlines()[:5]],
            [
                Step(f"consumerd check {shlex.quote(config)}", "see all mistakes at once, before anything is changed"),
                Step("consumerd reload --dry-run", "see what would change, once it is mended"),
                Step("consumerd reload", "take it over"),
            ],
            "Do not restart the master: it would not start with this file, and now all runs.",
        )
