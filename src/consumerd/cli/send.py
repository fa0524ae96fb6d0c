"""`consumerd send TARGET`: puts tasks where TARGET's source reads; each is decoded first as a worker would."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import msgspec

from consumerd.cli.asked import ask_source
from consumerd.cli.lines import printable
from consumerd.cli.options import config_option, json_option, record_bytes, state_dir_option
from consumerd.errors import UsageError
from consumerd.state.state_dir import StateDirectory


@click.command()
@click.argument("target", metavar="TARGET")
@click.option(
    "--record",
    "records",
    multiple=True,
    metavar="JSON|@FILE",
    help="A record, or a file that is one; several where it is repeated.",
)
@click.option("--file", "file", metavar="FILE|-", help="Records, one a line, as JSON Lines; - is stdin.")
@click.option("--key", metavar="TEXT", help="Of a Kafka message: its key.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Of a Kafka message: a header.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Only decode them, as a worker would.")
@config_option
@state_dir_option
@json_option
def command(
    target: str,
    records: tuple[str, ...],
    file: str | None,
    key: str | None,
    headers: tuple[str, ...],
    is_dry: bool,
    config: str | None,
    state_dir: StateDirectory,
    as_json: bool,
) -> int:
    """Send records to TARGET, a group/name: to its topic, or as pending rows of its claimed table.

    Where one of them could not be decoded by the consumer, nothing is sent. It returns when the brokers, or the
    database, have confirmed all of them, and tells the place of each, which consumerd where takes.
    """
    payloads = _payloads(records, file)
    of_each = {"key": None if key is None else _bytes(key), "headers": list(map(_header, headers))}
    messages = msgspec.to_builtins([{"payload": payload, **of_each} for payload in payloads])  # bytes as base64
    name, found = ask_source(target, config, state_dir, "send", messages=messages, is_dry=is_dry)
    places = found["places"]
    if as_json:
        click.echo(json.dumps({"target": name, "is_sent": not is_dry, "tasks": places}, indent=2))
    elif is_dry:
        click.echo(f"{name}: {_count(len(places))} could be decoded, and nothing was sent")
    else:
        for place in places:
            click.echo(printable(f"{name}: sent" + (f", as {place}" if place is not None else "")))
    return 0


def _payloads(records: tuple[str, ...], file: str | None) -> list[bytes]:
    """The records, byte for byte. UsageError where there are none."""
    lines: list[bytes] = []
    if file is not None:
        try:
            content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        except OSError as error:
            raise UsageError(f"--file {file}: the file cannot be read ({error.strerror})") from error
        lines = [line for line in content.split(b"\n") if line.strip()]
    payloads = [*map(record_bytes, records), *lines]
    if not payloads:
        raise UsageError("there is nothing to send: name a record with --record JSON, or --file FILE of JSON Lines")
    return payloads


def _header(text: str) -> tuple[str, bytes]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageError(f"--header must be NAME=VALUE, and is {text!r}")
    return name, _bytes(value)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _count(records: int) -> str:
    return f"{records} {'record' if records == 1 else 'records'}"
