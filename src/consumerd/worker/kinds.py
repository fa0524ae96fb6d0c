"""The kinds of source: registered under the entry point group `consumerd.sources`, ours and others' alike."""

from __future__ import annotations

from importlib.metadata import entry_points

from consumerd.config.suggest import did_you_mean
from consumerd.errors import UsageError
from consumerd.sources.contract import SourceKind

GROUP = "consumerd.sources"


def kind_named(name: str) -> SourceKind:
    """The kind of that name, its client library imported, nothing opened.

    Raises UsageError where none is registered or what is registered is none, MissingExtraError where its client is
    not installed.
    """
    found = entry_points(group=GROUP)
    chosen = next((point for point in found if point.name == name), None)
    if chosen is None:
        names = sorted({point.name for point in found})
        hint = did_you_mean(name, names) or f"; installed are: {', '.join(names)}"
        raise UsageError(f"no source named '{name}' is installed{hint}")
    try:
        kind = chosen.load()
        if not isinstance(kind, SourceKind):
            raise UsageError(f"the source '{name}' ({chosen.value}) is no SourceKind: its package must be mended")
        kind.make()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the source '{name}' ({chosen.value}) cannot be imported ({error}): reinstall it") from error
    return kind
