"""`consumerd check CONFIG`: everything that is wrong with a configuration, at once; nothing is changed.

User code is imported, and sources are asked for their lag, in a child process for each consumer. One more for each
limit asks for its numbers.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from typing import Any

import click
import msgspec

from consumerd.cli.lines import note, printable, terminal_width
from consumerd.cli.options import json_option
from consumerd.config.loading import Validated, examine, unreachable_store_problems
from consumerd.config.problems import Inspection, Problem, in_document_order
from consumerd.config.schema import json_schema
from consumerd.config.shape import ConsumerSettings, Document
from consumerd.inquiry.asking import Answer, Question, ask_all

PROBE_S = 10.0
WRONG = 2
UNLISTED = "no consumer lists it in `limits`, so it limits nothing"
_PARKING = ("consumerd", "parking")


@dataclass(frozen=True, slots=True)
class Look:
    """A consumer, and what a child process has found out about it."""

    consumer: ConsumerSettings
    found: Inspection

    def as_json(self) -> dict[str, Any]:  # plain data
        return {
            "name": str(self.consumer.full_name),
            "target": self.consumer.target,
            "source": self.found.source,
            "workers": self.consumer.common.model_dump()["workers"],
            "remarks": list(self.found.remarks),
            "lag": list(self.found.lag),
            "table_lacks": list(self.found.changes),
            "not_reachable": self.found.away,
        }


@click.command()
@click.argument("config", metavar="CONFIG", required=False)
@json_option
@click.option("--probe/--no-probe", "is_probing", default=True, help="Ask each source for its lag; on by default.")
@click.option("--traceback", "with_details", is_flag=True, help="Show tracebacks, and what failing imports printed.")
@click.option("--schema", "only_schema", is_flag=True, help="Print the JSON Schema of a configuration, and end.")
def command(config: str | None, as_json: bool, is_probing: bool, with_details: bool, only_schema: bool) -> int:
    """Validate CONFIG, import every class in a child process, probe the sources; change nothing.

    A source that cannot be reached is a warning: it may be up when the consumers run. One that answers and refuses is a
    mistake. Exit code 2 for any mistake.
    """
    if only_schema:
        click.echo(json.dumps(json_schema(), indent=2))
        return 0
    if config is None:
        raise click.UsageError("Missing argument 'CONFIG'.")
    validated = examine(config)
    looks, document = _look(validated, is_probing=is_probing), validated.document
    limits = {} if document is None or validated.problems else _look_at_limits(document, is_probing=is_probing)
    found = (*(look.found for look in looks), *limits.values())
    of_consumers = (problem for each in found for problem in each.problems)
    unreachable = () if document is None else unreachable_store_problems(document, os.geteuid())
    problems = in_document_order([*validated.problems, *unreachable, *of_consumers], validated.data)
    if as_json:
        _print_json(config, problems, looks, limits)
    elif problems:
        _print_problems(problems, with_details=with_details)
    else:
        _print_looks(looks)
        _print_limits(limits)
    return WRONG if problems else 0


def _look(validated: Validated, *, is_probing: bool) -> list[Look]:
    """Ask a child about each consumer, side by side. With mistakes in the document no source is bothered."""
    consumers = validated.document.consumers if validated.document is not None else ()
    probe = is_probing and not validated.problems
    parking = _parking(validated)
    asked = [{"settings": each.model_dump_json(), "parking": parking, "probe": probe} for each in consumers]
    questions = [Question("consumerd.worker.inspect", each, more_s=PROBE_S) for each in asked]
    answered = zip(consumers, ask_all(questions), strict=True)
    return [Look(consumer, inspection_of(consumer, answer)) for consumer, answer in answered]


def _look_at_limits(document: Document, *, is_probing: bool) -> dict[str, Inspection]:
    """Of each limit whether a consumer lists it, and what a child says that has asked for its numbers."""
    defined, listed = document.settings.limits, {name for each in document.consumers for name in each.common.limits}
    found = {name: Inspection() if name in listed else Inspection(remarks=(UNLISTED,)) for name in defined}
    tried = [name for name, limit in defined.items() if limit.numbers is not None and is_probing]
    about = {"directory": str(document.directory), "origin": document.origin}
    asked = [{"name": name, "limit": defined[name].model_dump_json(), **about} for name in tried]
    questions = [Question("consumerd.limits.trial", each, timeout_s=PROBE_S) for each in asked]
    for name, answer in zip(tried, ask_all(questions), strict=True):
        of_child = msgspec.convert(answer.found or {"away": f"its query {answer.ending}"}, Inspection)
        found[name] = replace(of_child, remarks=(*found[name].remarks, *of_child.remarks))
    return found


def _parking(validated: Validated) -> str | None:
    """The setting that the children try; none where the document says already what is wrong with it."""
    if validated.document is None or any(problem.path == _PARKING for problem in validated.problems):
        return None
    return validated.document.settings.parking


def inspection_of(consumer: ConsumerSettings, answer: Answer) -> Inspection:
    """What a child has answered of a consumer."""
    if answer.found is None:
        return Inspection((_unanswered(consumer, answer),))
    found = msgspec.convert(answer.found, Inspection)
    return replace(found, away=answer.ending) if answer.ending else found


def _unanswered(consumer: ConsumerSettings, answer: Answer) -> Problem:
    """The import hung, or ended its process."""
    module = consumer.target.partition(":")[0]
    sentence = f"importing {module} {answer.ending}: an import must return; see --traceback for what it printed"
    return consumer.place.problem(sentence, consumer.module_key, details=answer.output)


def _print_json(config: str, problems: list[Problem], looks: list[Look], limits: dict[str, Inspection]) -> None:
    result = {
        "config": config,
        "is_valid": not problems,
        "problems": [problem.as_json() for problem in problems],
        "consumers": [look.as_json() for look in looks],
        "limits": [
            {"name": name, "remarks": list(found.remarks), "not_reachable": found.away}
            for name, found in limits.items()
        ],
    }
    click.echo(json.dumps(result, indent=2))


def _print_problems(problems: list[Problem], *, with_details: bool) -> None:
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
        if with_details and problem.details:
            sys.stderr.writelines(f"    {printable(line)}\n" for line in problem.details.splitlines())


def _print_looks(looks: list[Look]) -> None:
    for look in looks:
        common = look.consumer.common
        click.echo(
            f"{look.consumer.full_name}: {look.consumer.target}, source {look.found.source}, "
            f"{common.workers} {'worker' if common.most_workers == 1 else 'workers'}{_lag_text(look)}"
        )
        if look.found.away:
            _print_note(f"warning: its source is not reachable now: {look.found.away}")
        for complaint in dict.fromkeys(shard["complaint"] for shard in look.found.lag if shard["complaint"]):
            _print_note(f"warning: {complaint}")
        for change in look.found.changes:
            _print_note(f"warning: {change['why']}: {change['statement']}")
        for remark in look.found.remarks:
            _print_note(f"remark: {remark}")


def _print_limits(limits: dict[str, Inspection]) -> None:
    """Those of which there is something to say."""
    for name, found in limits.items():
        if found.away or found.remarks:
            click.echo(f"limit {name}")
        if found.away:
            _print_note(f"warning: its numbers cannot be read now: {found.away}")
        for remark in found.remarks:
            _print_note(f"remark: {remark}")


def _print_note(text: str) -> None:
    click.echo("\n".join(note(text, terminal_width())))


def _lag_text(look: Look) -> str:
    if not look.found.lag:
        return ""
    tasks, later = (sum(shard[name] for shard in look.found.lag) for name in ("tasks", "later"))
    ages = [shard["oldest_s"] for shard in look.found.lag if shard["oldest_s"] is not None]
    oldest = f", the oldest {max(ages):.0f} s" if ages else ""
    return f", {tasks} {'task' if tasks == 1 else 'tasks'} behind{oldest}" + (f", {later} due later" if later else "")
