"""Whose is which key of `configs`: common, the source's, the consumer's own, or nobody's.

Runs in zygotes, workers, probes and the foreground: only they know the class, and so all the keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from consumerd.config.common_keys import COMMON_KEYS
from consumerd.config.problems import Problem, nearest
from consumerd.config.tables import Place, keys_of

CONFIG_CLASS = "Config"
DATABASE_KEY = "database"
"""Any consumer may have it, for `self.database`; its value is looked at when that is used."""


@dataclass(frozen=True, slots=True)
class KeyOwners:
    """Who knows a key, besides consumerd, which knows the common keys.

    options: the source's model.
    config: the consumer's `Config`, where it has one.
    """

    options: type[BaseModel]
    config: type[BaseModel] | None

    @property
    def known(self) -> tuple[str, ...]:
        """Every key that has an owner."""
        own = keys_of(self.config) if self.config is not None else ()
        return tuple(dict.fromkeys((*COMMON_KEYS, *keys_of(self.options), *own, DATABASE_KEY)))

    @property
    def is_closed(self) -> bool:
        """Whether a key without an owner is a mistake."""
        return self.config is not None and self.config.model_config.get("extra") != "allow"

    def of_options(self, configs: Mapping[str, Any]) -> dict[str, Any]:
        """What the source's model gets: its keys, and those with a dot where it takes more (a client's properties)."""
        takes_more = self.options.model_config.get("extra") == "allow"
        own = keys_of(self.options)
        return {key: value for key, value in configs.items() if key in own or (takes_more and "." in key)}

    def of_config(self, configs: Mapping[str, Any]) -> dict[str, Any]:
        """What the consumer's `Config` gets: its keys, and all that have no owner where it takes more."""
        if self.config is None:
            return {}
        own = keys_of(self.config)
        others = {} if self.is_closed else {key: configs[key] for key in self.unknown(configs)}
        return {**{key: value for key, value in configs.items() if key in own}, **others}

    def unknown(self, configs: Mapping[str, Any]) -> list[str]:
        """The keys without an owner, in their order."""
        owned = {*self.known, *self.of_options(configs)}
        return [key for key in configs if key not in owned]


def config_model(consumer_class: type) -> type[BaseModel] | None:
    """The consumer's own `Config`, where it is a pydantic model."""
    found = getattr(consumer_class, CONFIG_CLASS, None)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def nearly_common(configs: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    """Of a class that cannot be imported: the keys that are most likely misspelt, though its own are not known."""
    for key in configs:
        near = None if key in COMMON_KEYS else nearest(key, COMMON_KEYS)
        if near is not None:
            yield place.problem(f"is not a known key, unless the class has it; did you mean '{near}'?", key)


def judge_unknown(
    owners: KeyOwners, configs: Mapping[str, Any], place: Place, *, defaulted: Collection[str]
) -> tuple[list[Problem], list[str]]:
    """The keys without an owner: those that are mistakes, as problems, and those that are passed on to the class.

    A key is a mistake where the keys are closed, or where it is nearly a known one.
    defaulted: keys that `consumerd.defaults` gave to every consumer, where another may know them: only one that is
    nearly a common key is a mistake, and none is worth a remark.
    """
    problems, passed_on = [], []
    for key in owners.unknown(configs):
        is_default = key in defaulted
        near = nearest(key, COMMON_KEYS if is_default else owners.known)
        if near is not None:
            fix = "" if owners.config is not None else f" If not, declare '{key}' in the class's {CONFIG_CLASS}"
            problems.append(place.problem(f"is not a known key; did you mean '{near}'?{fix}", key))
        elif owners.is_closed and not is_default:
            known = ", ".join(owners.known)
            problems.append(place.problem(f"is not a known key of this consumer; known are: {known}", key))
        elif not is_default:
            passed_on.append(key)
    return problems, passed_on
