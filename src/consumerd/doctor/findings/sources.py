"""What tasks come from is away: a broker, a database; or its password, or its rights."""

from __future__ import annotations

import re
from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Pool, Step
from consumerd.events import consume_failed

REFUSED = re.compile(r"access denied|password|authenticat|sasl|permission|not authorized|denied for", re.IGNORECASE)
READ_ONLY = re.compile(r"read.only", re.IGNORECASE)
MISSING = re.compile(r"unknown topic|does not exist|doesn't exist|no such table|unknown database", re.IGNORECASE)


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        now, flag, last = pool.now, pool.flag("source"), pool.now.last_error
        if flag is not None:
            yield _finding(pool, flag.error)
        elif last is not None and last.name == consume_failed.name and now.workers_running < now.workers_wanted:
            yield _finding(pool, str(last.fields.get("error", "")))


def _finding(pool: Pool, error: str) -> Finding:
    look = Step("consumerd status --workers", "see since when, and what each worker waits for")
    if REFUSED.search(error):
        name, sentence = "source_refuses", f"The source of {pool.name} refuses its user: a password, or rights."
        steps = [
            look,
            Step(f"consumerd restart {pool.name}", "once the password or the grant is right; secrets are read anew"),
        ]
    elif READ_ONLY.search(error):
        name, sentence = "source_read_only", f"The database of {pool.name} takes no writes: a fail-over, or a replica."
        steps = [look, Step("", "let the address name the primary; the workers go on by themselves")]
    elif MISSING.search(error):
        name, sentence = "source_missing", f"What {pool.name} reads is not there: a topic, a table, a database."
        steps = [look, Step(f"consumerd restart {pool.name}", "once it is made, or its name is mended")]
    else:
        name, sentence = "source_unreachable", f"The source of {pool.name} does not answer; its tasks wait there."
        steps = [look, Step("", "bring it back: the workers ask again by themselves, and nothing has to be restarted")]
    return Finding(name, pool.name, sentence, [error], steps, "Do not restart the master: it changes nothing.")
