"""`consumerd doctor`: what is wrong, why it is thought so, and what to do. Imports nothing heavy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import click
import msgspec

from consumerd.cli.lines import printable
from consumerd.cli.options import json_option, state_dir_option
from consumerd.clock import SYSTEM_CLOCK, monotonic, wall
from consumerd.doctor.facts import Facts, Finding, Host, Step
from consumerd.doctor.findings import findings
from consumerd.doctor.past import MOST_EVENTS, Happened, events_in
from consumerd.errors import ConsumerdError, NotRunningError, UsageError, WireError
from consumerd.model.identity import ConsumerName
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.control import Connection
from consumerd.wire.method import read_answer
from consumerd.wire.metrics import Metrics

LOOKS_APART_S = 2.0


@click.command()
@click.argument("target", required=False)
@state_dir_option
@json_option
@click.option(
    "--apart",
    "apart_s",
    type=click.FloatRange(0.1, 600.0),
    default=LOOKS_APART_S,
    metavar="SECONDS",
    help="How long after the first look the second one comes; 2 by default.",
)
def command(target: str | None, state_dir: StateDirectory, as_json: bool, apart_s: float) -> int:
    """Say what is wrong, with the evidence, what to do about it, and what not to do now.

    It looks at the master twice, two seconds apart, and changes nothing. TARGET: a group or group/name, of which alone
    findings are shown. The exit code is 1 where it finds something. Rates are of the time between the looks: where few
    tasks have ended in it, --apart 30 knows more.
    """
    found = [each for each in found_at(state_dir, target, apart_s) if target is None or _concerns(each, target)]
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found)))
    else:
        if found:
            click.echo(f"# these are for the master of {state_dir.path}: export CONSUMERD_STATE_DIR={state_dir.path}\n")
        for line in lines_of(found):
            click.echo(line)
    return 1 if found else 0


def found_at(state_dir: StateDirectory, target: str | None, apart_s: float = LOOKS_APART_S) -> list[Finding]:
    """What is wrong with the master of this directory; no answer of it is a finding, too. Takes `apart_s` seconds."""
    try:
        before, _ = _look(state_dir)
        names = [pool.name for pool in before.status.pools]
        if target is not None and not any(ConsumerName.parse(name).matches(target) for name in names):
            raise UsageError(f"there is no consumer {target!r}: the master runs {', '.join(names)}")
        began_at = monotonic()
        SYSTEM_CLOCK.sleep(apart_s)
        now, happened = _look(state_dir)
    except NotRunningError as error:
        return [_no_master(state_dir, str(error))]
    except (UsageError, WireError):
        raise  # of another user, of another version: no finding
    except ConsumerdError as error:
        return [_silent_master(str(error))]
    disk = os.statvfs(state_dir.path)
    host = Host(str(state_dir.path), disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
    return findings(Facts.of((before, now), monotonic() - began_at, host, wall(), happened))


def _look(state_dir: StateDirectory) -> tuple[Metrics, list[Happened]]:
    """All numbers, and what the master still knows of."""
    with Connection(state_dir.control_socket) as master:
        numbers = read_answer(master.call("metrics"), Metrics, "metrics")
        return numbers, events_in(master.follow("events", {"recent": MOST_EVENTS, "follow": False}, timeout_s=5.0))


def _no_master(state_dir: StateDirectory, error: str) -> Finding:
    return Finding(
        "no_master",
        "",
        "No master runs, so no task is done.",
        [error],
        [
            Step(f"consumerd status --state-dir {state_dir.path}", "is it this state directory that you mean?"),
            Step("consumerd check CONFIG", "see that the configuration can be run"),
            Step("consumerd run CONFIG", "run it; or start the service that does"),
        ],
    )


def _silent_master(error: str) -> Finding:
    return Finding(
        "master_silent",
        "",
        "The master does not answer; its workers may go on.",
        [error],
        [
            Step(
                "ps -eo pid,stat,wchan:20,args | grep 'consumerd: master'",
                "T: stopped by a signal, D: waits for a disk",
            ),
            Step("kill -CONT PID", "where it is stopped"),
        ],
        "Do not kill it yet: its workers would finish their tasks and leave.",
    )


def _concerns(finding: Finding, target: str) -> bool:
    return not finding.consumer or ConsumerName.parse(finding.consumer).matches(target)


def lines_of(found: list[Finding]) -> Iterator[str]:
    """For people; what tasks have said in it steers no terminal."""
    return map(printable, _lines_of(found))


def _lines_of(found: list[Finding]) -> Iterator[str]:
    if not found:
        yield "nothing is wrong that could be seen"
    for number, finding in enumerate(found, 1):
        yield f"{number}. {finding.sentence}"
        yield from (f"   - {evidence}" for evidence in finding.evidence if evidence)
        for step in finding.steps:
            yield f"   {step.command}  # {step.why}" if step.command else f"   {step.why}"
        if finding.avoid:
            yield f"   {finding.avoid}"
        yield ""
