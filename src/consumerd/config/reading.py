"""Reading the common keys of a `configs` table: references resolved, mistakes as problems."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from consumerd.config.common_keys import COMMON_KEYS, CommonKeys, WorkerRange
from consumerd.config.execution import AS_WRITTEN, EXECUTION_KEYS, Execution
from consumerd.config.problems import Problem
from consumerd.config.redaction import Redactor
from consumerd.config.secrets import Resolved, Resolver
from consumerd.config.tables import Place, read_table


def read_entry_keys(configs: Mapping[str, Any], place: Place, resolver: Resolver) -> tuple[CommonKeys, list[Problem]]:
    """The common keys of an entry, as its own processes will read them: with the environment that they will have.

    What keeps this user from executing processes here and now as the keys say is a problem too.
    """
    given = {key: configs[key] for key in EXECUTION_KEYS if key in configs}
    found, problems = read_common_keys(given, place, resolver)
    written = found.model_dump(exclude_unset=True)
    variables, complaints = Execution.of(written, resolver.directory).examine(resolver.environ, os.geteuid())
    problems += [place.problem(sentence, *steps) for steps, sentence in complaints]
    others = {key: value for key, value in configs.items() if key not in given}
    common, mistakes = read_common_keys(others, place, Resolver(variables, resolver.directory))
    return common.model_copy(update=written), [*problems, *mistakes]


def read_common_keys(configs: Mapping[str, Any], place: Place, resolver: Resolver) -> tuple[CommonKeys, list[Problem]]:
    """The common keys of `configs`, which may hold others; with problems, their default values.

    resolver: with the environment of the consumer's processes.
    """
    resolved = resolve_configs({key: configs[key] for key in configs if key in COMMON_KEYS}, resolver)
    common, wrong = common_keys_of(resolved, place)
    failures = (place.problem(sentence, *steps) for steps, sentence in resolved.failures)
    redact = Redactor(resolved.secrets).redact
    return common, [problem.redacted(redact) for problem in (*failures, *wrong)]


def common_keys_of(resolved: Resolved, place: Place) -> tuple[CommonKeys, list[Problem]]:
    """The common keys of a resolved `configs`; with problems, their default values.

    Keys whose references stand for nothing are left out: that is said by who has resolved them.
    """
    failed = {steps[0] for steps, _ in resolved.failures}
    values = {key: value for key, value in resolved.value.items() if key in COMMON_KEYS and key not in failed}
    problems: list[Problem] = []
    if isinstance(values.get("workers"), dict):  # read by itself: references stand within it
        within = [str(steps[1]) for steps in resolved.places if steps[0] == "workers" and len(steps) > 1]
        found, problems = read_table(WorkerRange, values.pop("workers"), place.within("workers"), resolved=within)
        values |= {} if found is None else {"workers": found.model_dump()}
    keys, wrong = read_table(CommonKeys, values, place, resolved=[str(steps[0]) for steps in resolved.places])
    return keys or CommonKeys(), [*problems, *wrong]


def resolve_configs(configs: Mapping[str, Any], resolver: Resolver) -> Resolved:
    """`configs` with every reference resolved, but for those of `environment`."""
    resolved = resolver.resolve({key: value for key, value in configs.items() if key not in AS_WRITTEN})
    value = {key: resolved.value.get(key, configs[key]) for key in configs}
    return replace(resolved, value=value)
