"""Whether a consumer's workers can be scaled by its lag. Runs in zygotes, probes and the foreground."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.config.common_keys import CommonKeys
from consumerd.config.problems import Problem
from consumerd.config.tables import Place
from consumerd.sources.contract import SourceKind


def scaling_problems(kind: SourceKind, common: CommonKeys, configs: Place) -> Iterator[Problem]:
    """`workers` as a table, where each change of the number would restart every worker of the pool."""
    if common.scaling is not None and kind.traits.splits_keys:
        yield configs.problem(
            f"must be one whole number: the workers of a {kind.name} divide the keys by it, and each change would "
            "restart them all; consumerd scale changes it by hand",
            "workers",
        )


def scaling_remarks(kind: SourceKind, common: CommonKeys) -> Iterator[str]:
    """`workers` as a table, where nobody will know when to change the number."""
    if common.scaling is not None and kind.traits.gives_away:
        yield (
            "how many tasks wait is not known of an iterate_task, so its number of workers stays at "
            f"{common.scaling.min}, the least of configs.workers, unless consumerd scale changes it"
        )
