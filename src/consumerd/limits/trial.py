"""`python -m consumerd.limits.trial FD SECONDS`: reads the numbers of a limit once, for `check`. Runs in a probe.

Asked `{name, limit, directory, origin}`. It answers with an `Inspection`, and changes nothing.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from consumerd.config.problems import Inspection
from consumerd.config.shape import RESERVED, LimitSettings
from consumerd.config.tables import Place
from consumerd.database.causes import cause_of, may_pass
from consumerd.errors import ConsumerdError
from consumerd.events.facts import Fact
from consumerd.inquiry.asking import receive
from consumerd.limits.numbers import NumbersOfKeys, read_by


def main() -> None:
    reply, asked = receive(sys.argv[1:])
    limit = LimitSettings.model_validate_json(asked["limit"])
    reply.send(asdict(tried(asked["name"], limit, Path(asked["directory"]), asked["origin"])))


def tried(name: str, limit: LimitSettings, directory: Path, origin: str) -> Inspection:
    """What the query of its numbers says: what is wrong with it, that its database is away, numbers that mean nothing.

    directory: the configuration's; origin: its file, or `module:NAME`.
    """
    assert limit.numbers is not None, "it is asked for numbers that it has"
    read, redactor = read_by(limit.numbers, directory)
    place, told = Place(origin, (RESERVED, "limits", name, "numbers")), list[Fact]()
    try:
        NumbersOfKeys(name, limit.fixed, told.append, read).ask()
    except ConsumerdError as error:
        return Inspection((place.problem(redactor.redact(str(error))),))
    except Exception as error:  # noqa: BLE001 - around the user's query
        why = redactor.redact(cause_of(error))
        return Inspection(away=why) if may_pass(error) else Inspection((place.problem(f"its query failed: {why}"),))
    refused = (fact.fields for fact in told)
    return Inspection(
        remarks=tuple(
            f"its query has {each['value']} as {each['column']} of {each['key']}: the limit's own number holds"
            for each in refused
        )
    )


if __name__ == "__main__":
    main()
