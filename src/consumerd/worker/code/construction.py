"""Whether a consumer can be made as a worker makes it: `consumer_class(worker_id, **configs)`. It is not made here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from consumerd.config.common_keys import COMMON_KEYS
from consumerd.config.problems import Problem
from consumerd.config.tables import Place, keys_of
from consumerd.model.contract import live_keys
from consumerd.worker.code.keys import KeyOwners


def live_problems(consumer_class: type, owners: KeyOwners, entry: Place) -> list[Problem]:
    """What is wrong with the class's LIVE_CONFIGS."""
    try:
        live = live_keys(consumer_class)
    except TypeError as error:
        fix = 'write the keys of its configs, as ("price_limit",)'
        return [entry.problem(f"{consumer_class.__name__}: {error}: {fix}", "class")]
    taken = sorted(live & {*COMMON_KEYS, *keys_of(owners.options)})
    why = "consumerd or the source uses it, and a worker starts anew when it changes: take it out"
    return [entry.problem(f"{consumer_class.__name__}: LIVE_CONFIGS names {key!r}: {why}", "class") for key in taken]


def construction_problems(
    consumer_class: type,
    configs: Mapping[str, Any],  # the user's own keys have any value
    entry: Place,
) -> list[Problem]:
    """The problem that its `__init__` has with these configs, if it has one."""
    try:
        inspect.signature(consumer_class).bind(0, **configs)
    except TypeError as error:
        fix = "let it take (self, worker_id, **kwargs) and pass them on to super().__init__"
        return [
            entry.problem(f"{consumer_class.__name__}.__init__ does not take its configs ({error}): {fix}", "class")
        ]
    except ValueError:  # a class without a signature that Python could read, one written in C
        return []
    return []
