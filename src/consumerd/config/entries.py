"""The entries of a group: `{module, class, name, configs}` each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from consumerd.config.common_keys import COMMON_KEYS, CommonKeys
from consumerd.config.execution import AS_WRITTEN, EXECUTION_KEYS, Execution
from consumerd.config.problems import Problem, did_you_mean, shown
from consumerd.config.secrets import Resolver
from consumerd.config.shape import ConsumerSettings, Entry, place_of_configs
from consumerd.config.tables import Place, read_resolved, read_table
from consumerd.model.identity import is_name

NAME_RULE = "a name is a letter, then at most 63 letters, digits, '_', '.' or '-'"

_IDENTIFIER = r"[^\W\d]\w*"
_DOTTED = re.compile(rf"{_IDENTIFIER}(\.{_IDENTIFIER})*")

Table = dict[str, Any]  # plain data, not checked yet


def read_group(
    group: str, entries: Sequence[object], place: Place, resolver: Resolver, *, defaults: Mapping[str, Any]
) -> list[ConsumerSettings]:
    """The consumers of one group, as far as their class is known; what is wrong with any of its entries is noted."""
    consumers: list[ConsumerSettings] = []
    for index, written in enumerate(entries):
        if not isinstance(written, dict):
            place.note(f"must be a table {{module, class, configs}}, and is {shown(written)}", index)
        elif consumer := _read_entry(group, written, place.within(index), resolver, defaults=defaults):
            consumers.append(consumer)
    place.found.extend(_duplicate_problems(consumers))
    return consumers


def _read_entry(
    group: str, written: Table, place: Place, resolver: Resolver, *, defaults: Mapping[str, Any]
) -> ConsumerSettings | None:
    """One entry's consumer, where it says which class that is."""
    configs = written.get("configs")
    own: Table = configs if isinstance(configs, dict) else {}
    defaulted = frozenset(defaults.keys() - own.keys())
    misplaced = [key for key in written if key in COMMON_KEYS]
    for key in misplaced:
        place.note("belongs into 'configs': move it there", key)
    read_table(Entry, {key: written[key] for key in written if key not in misplaced}, place)
    common = read_entry_keys({**defaults, **own}, place_of_configs(place, defaulted), resolver)
    target, name = _read_target(written, place), _read_name(written, place)
    if target is None or name is None:
        return None
    return ConsumerSettings(
        group=group,
        name=name,
        target=target,
        configs={**defaults, **own},
        common=common,
        origin=place.origin,
        path=place.path,
        directory=resolver.directory,
        module_key="module" if "module" in written else "class",
        defaulted=defaulted,
    )


def read_entry_keys(configs: Mapping[str, Any], place: Place, resolver: Resolver) -> CommonKeys:
    """The common keys of an entry, as its own processes will read them: with the environment that they will have.

    Where something is wrong they have their default values, and it is noted; so is what keeps this user from executing
    processes here and now as the keys say.
    """
    given = {key: configs[key] for key in EXECUTION_KEYS if key in configs}
    found = read_resolved(CommonKeys, resolver.resolve(given, but=AS_WRITTEN), place)
    written = {} if found is None else found.model_dump(exclude_unset=True)
    variables, complaints = Execution.of(written, resolver.directory).examine(resolver.environ, os.geteuid())
    for steps, sentence in complaints:
        place.note(sentence, *steps)
    others = {key: configs[key] for key in COMMON_KEYS if key in configs and key not in given}
    common = read_resolved(CommonKeys, Resolver(variables, resolver.directory).resolve(others), place)
    return (common or CommonKeys()).model_copy(update=written)


def _read_target(written: Table, place: Place) -> str | None:
    """`package.module:Class`, where the entry says it."""
    module, name = written.get("module"), written.get("class")
    if not isinstance(name, str) or not isinstance(module, str | None):
        return None
    inner, colon, own_class = name.partition(":")
    if not colon and module is None:
        place.note(f"is missing: {_module_advice(name)}", "module")
        return None
    parts = {"class": own_class, "module": inner} if colon else {"class": name, "module": str(module)}
    wrong = {key: text for key, text in parts.items() if not _DOTTED.fullmatch(text)}
    if colon and module is not None:
        place.note(f"names a module, and so does 'module': write the class alone, '{own_class}'", "class")
    else:
        for key, text in wrong.items():
            sentence = f"must be a dotted name, such as package.module or ClassName, and is {shown(text)}"
            place.note(sentence, "class" if colon else key)
    return None if wrong else f"{parts['module']}:{parts['class']}"


def _module_advice(name: str) -> str:
    module, dot, own_class = name.rpartition(".")
    if dot:
        return f"write class = '{module}:{own_class}', with a colon before the class"
    return f"add the module that holds {shown(name)}, or write class = 'package.module:{name}'"


def _read_name(written: Table, place: Place) -> str | None:
    """The consumer's name, where it can be one: as written, or that of its class."""
    name, class_ = written.get("name"), written.get("class")
    default = class_.rpartition(":")[2] if isinstance(class_, str) else ""
    if isinstance(name, str) and not is_name(name):
        place.note(f"{shown(name)} is no name for a consumer: {NAME_RULE}", "name")
    elif name is None and _DOTTED.fullmatch(default) and not is_name(default):
        place.note(f"the class {shown(default)} cannot name the consumer: add a 'name'; {NAME_RULE}", "class")
    found = default if name is None else name
    return found if isinstance(found, str) and is_name(found) else None


def _duplicate_problems(consumers: Iterable[ConsumerSettings]) -> Iterator[Problem]:
    """One problem for each name that stands more than once in a group, at its second place, with a name for each."""
    by_name: dict[str, list[ConsumerSettings]] = {}
    for consumer in consumers:
        by_name.setdefault(consumer.name, []).append(consumer)
    for same in by_name.values():
        if len(same) > 1:
            proposed = ", ".join(f"'{name}'" for name in _proposals(same))
            taken = f"{len(same)} consumers of this group are named '{same[0].name}'"
            yield same[1].place.problem(f"{taken}: give each a name of its own, for instance {proposed}")


def _proposals(same: Sequence[ConsumerSettings]) -> list[str]:
    """Different names: by the first key of `configs` in which they differ (a topic, an app_id), else by number."""
    for key in same[0].configs:
        values = [consumer.configs.get(key) for consumer in same]
        names = [f"{same[0].name}-{value}" for value in values]
        are_words = key != "workers" and all(type(value) in (str, int) for value in values)
        if are_words and len(set(names)) == len(names) and all(map(is_name, names)):
            return names
    return [f"{consumer.name[:60]}-{number}" for number, consumer in enumerate(same, start=1)]


def order_problems(consumers: Iterable[ConsumerSettings]) -> Iterator[Problem]:
    """What is wrong with `after`: names that are no consumer's, and circles, in which nobody would ever start."""
    after = {str(consumer.full_name): consumer.common.after for consumer in consumers}
    for consumer in consumers:
        name = str(consumer.full_name)
        for earlier in consumer.common.after:
            if earlier not in after:
                advice = did_you_mean(earlier, after) or ": write group/name of another consumer"
                sentence = f"{shown(earlier)} is no consumer of this configuration{advice}"
                yield consumer.place.problem(sentence, "configs", "after")
            elif name in _all_before(earlier, after):
                sentence = f"{name} waits for {earlier}, which waits for it: remove one of the two"
                yield consumer.place.problem(sentence, "configs", "after")


def _all_before(name: str, after: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """The consumer of this name and all that it waits for."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += after.get(current, ())
    return frozenset(found)
