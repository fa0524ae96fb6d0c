"""The kinds of source: registered under the entry point group `consumerd.sources`, ours and others' alike."""

from __future__ import annotations

from importlib.metadata import entry_points

from consumerd.config.problems import did_you_mean
from consumerd.errors import UsageError
from consumerd.sources.contract import SourceKind

GROUP = "consumerd.sources"


def kind_named(name: str) -> SourceKind:
    """The kind of that name; UsageError where none is registered, or what is registered is none."""
    found = entry_points(group=GROUP)
    chosen = next((point for point in found if point.name == name), None)
    if chosen is None:
        names = sorted({point.name for point in found})
        hint = did_you_mean(name, names) or f"; installed are: {', '.join(names)}"
        raise UsageError(f"no source named '{name}' is installed{hint}")
    try:
        kind = chosen.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the source '{name}' ({chosen.value}) cannot be imported ({error}): reinstall it") from error
    if not isinstance(kind, SourceKind):
        raise UsageError(f"the source '{name}' ({chosen.value}) is no SourceKind: its package must be mended")
    return kind


def import_client(kind: SourceKind) -> None:
    """Import what the source needs, opening nothing: before the fork, and before the first task needs it.

    Raises UsageError, and MissingExtraError where its client is not installed.
    """
    try:
        kind.make()
    except ImportError as error:
        raise UsageError(f"the source '{kind.name}' cannot be imported ({error}): reinstall it") from error
