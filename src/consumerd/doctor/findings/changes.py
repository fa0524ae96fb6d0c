"""New code, or a new configuration, did not hold up and was taken back."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        now = pool.now
        if now.rejected > now.established > 0 and now.reason:
            yield Finding(
                "change_rejected",
                pool.name,
                f"The last change of {pool.name} did not hold up, so it runs the code from before.",
                [now.reason.strip().splitlines()[0], *filter(None, [pool.last_words()])],
                [
                    Step(f"consumerd logs {pool.name}", "see what its first worker said"),
                    Step(f"consumerd restart {pool.name} --wait", "try it again once it is mended"),
                ],
                "Do not restart the master: it would start the new code everywhere, with nothing to go back to.",
            )
