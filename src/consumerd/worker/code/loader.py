"""The loader: from a consumer's entry to its class, its source's kind, and its options. It alone imports user code.

Runs in zygotes, workers, probes and the foreground. It knows a consumer by the contract in `model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumerd.config.common_keys import CommonKeys
from consumerd.config.execution import secrets_of_environment
from consumerd.config.problems import Problem, raise_problems
from consumerd.config.reading import read_common_keys, resolve_configs
from consumerd.config.redaction import Redactor
from consumerd.config.secrets import Resolved, Resolver
from consumerd.config.shape import ConsumerSettings
from consumerd.config.tables import Place, read_table
from consumerd.errors import LoadError, UsageError
from consumerd.model.contract import source_kind
from consumerd.sources.contract import SourceKind
from consumerd.worker.code.construction import construction_problems, live_problems
from consumerd.worker.code.imports import NotLoadedError, hook_problems, import_class
from consumerd.worker.code.keys import KeyOwners, config_model, judge_unknown
from consumerd.worker.code.kinds import import_client, kind_named
from consumerd.worker.code.remarks import remarks_on
from consumerd.worker.code.scalable import scaling_problems

Values = Mapping[str, Any]  # the user's own keys have any value


@dataclass(frozen=True)
class LoadedConsumer:
    """A consumer, ready to be made.

    options: the source's own pydantic model; configs: what the class's `__init__` gets, everything in it resolved;
    remarks: what `check` names, one sentence each; redactor: takes the resolved secrets out of any text.
    """

    consumer_class: type
    kind: SourceKind
    common: CommonKeys
    options: Any  # each source casts it to its own model
    configs: dict[str, Any]  # the user's own keys have any value
    remarks: tuple[str, ...]
    redactor: Redactor


@dataclass(frozen=True)
class Examined:
    """All that is wrong with a consumer, and the consumer where nothing is.

    not_loaded: why there is no class, where there is none; it is among the problems too.
    """

    loaded: LoadedConsumer | None
    problems: tuple[Problem, ...]
    not_loaded: NotLoadedError | None = None


def load_consumer(settings: ConsumerSettings, environ: Mapping[str, str]) -> LoadedConsumer:
    """Import the class and check its options; raises what `examine_consumer` finds.

    LoadError where there is no class to run, its cause what the import raised; else ConfigurationError.
    """
    examined = examine_consumer(settings, environ)
    if examined.not_loaded is not None:
        raise LoadError(str(examined.not_loaded)) from examined.not_loaded.__cause__
    return _loaded(examined)


def prepare_class(consumer_class: type, configs: Values, environ: Mapping[str, str]) -> LoadedConsumer:
    """The same for a class that is there already, as in the foreground; raises ConfigurationError."""
    place = Place(consumer_class.__name__)
    return _loaded(_Examination(Resolver(environ, Path.cwd()), place, configs, ()).of_class(consumer_class))


def examine_consumer(settings: ConsumerSettings, environ: Mapping[str, str]) -> Examined:
    """Import the class and check its options; all problems at once. User code that raises is a problem too."""
    entry = Place(settings.origin, settings.path)
    resolver = Resolver(environ, settings.directory)
    examination = _Examination(resolver, entry, settings.configs, settings.defaulted)
    key = "module" if settings.has_module_key else "class"
    try:
        consumer_class = import_class(settings.target, settings.directory, entry, module_key=key)
    except NotLoadedError as error:
        return examination.without_class(error)
    return examination.of_class(consumer_class)


def _loaded(examined: Examined) -> LoadedConsumer:
    raise_problems(examined.problems)
    assert examined.loaded is not None, "a consumer without a problem was loaded"
    return examined.loaded


class _Examination:
    """One consumer's `configs`, resolved once, and held against its class."""

    def __init__(
        self, resolver: Resolver, entry: Place, configs: Values, defaulted: frozenset[str] | tuple[()]
    ) -> None:
        self._resolver = resolver
        self._entry = entry
        self._written = configs
        self._defaulted = frozenset(defaulted)
        moved = {key: ("consumerd", "defaults", key) for key in self._defaulted}
        self._place = Place(entry.origin, (*entry.path, "configs"), moved)
        self._resolved: Resolved = resolve_configs(configs, resolver)
        of_environment = secrets_of_environment(configs.get("environment"), resolver.environ, resolver.directory)
        self._redactor = Redactor(self._resolved.secrets | of_environment)

    def without_class(self, error: NotLoadedError) -> Examined:
        """What can be said before there is a class."""
        return Examined(None, self._examined(None, [error.problem, *self._unresolved()]).problems, error)

    def _unresolved(self) -> list[Problem]:
        """The references that stand for nothing."""
        return [self._place.problem(sentence, *steps) for steps, sentence in self._resolved.failures]

    def of_class(self, consumer_class: type) -> Examined:
        try:
            kind = kind_named(source_kind(consumer_class))
        except UsageError as error:
            return self._examined(None, [self._entry.problem(str(error), "class"), *self._unresolved()])
        problems = [*hook_problems(consumer_class, kind.hooks, self._entry), *self._unresolved()]
        problems += self._client_problems(kind)
        owners = KeyOwners(kind.options, config_model(consumer_class))
        common, wrong = read_common_keys(self._written, self._place, self._resolver)
        unknown = judge_unknown(owners, self._resolved.value, self._place, defaulted=self._defaulted)
        options, configs, more = self._read(owners, common)
        problems += [*wrong, *unknown.problems, *more]
        problems += scaling_problems(kind, common, self._place)
        problems += live_problems(consumer_class, owners, self._entry)
        problems += construction_problems(consumer_class, configs, self._entry)
        remarks = remarks_on(consumer_class, kind, common, unknown.passed_on)
        loaded = LoadedConsumer(consumer_class, kind, common, options, configs, remarks, self._redactor)
        return self._examined(loaded, problems)

    def _client_problems(self, kind: SourceKind) -> list[Problem]:
        try:
            import_client(kind)
        except UsageError as error:
            return [self._entry.problem(str(error), "class")]
        return []

    def _read(self, owners: KeyOwners, common: CommonKeys) -> tuple[Any, dict[str, Any], list[Problem]]:  # any options
        """The source's options, what `__init__` gets, and what is wrong with either."""
        values = self._resolved.value
        referenced = [str(steps[0]) for steps in self._resolved.places]
        given = owners.of_options(values)
        options, problems = read_table(owners.options, given, self._place, resolved=referenced)
        configs = {**values, **_taken_from(common, referenced), **_taken_from(options, referenced)}
        if common.scaling is not None:
            configs["workers"] = common.scaling.min  # as in the seed, a class finds a number there
        if owners.config is not None:
            own = owners.of_config(values)
            config, wrong = read_table(owners.config, own, self._place, resolved=referenced)
            problems = (*problems, *wrong)
            configs.update({} if config is None else dict(config))
        return options, configs, list(problems)

    def _examined(self, loaded: LoadedConsumer | None, problems: list[Problem]) -> Examined:
        """Without a secret, once each, in the order of the document."""
        of_entry = [each for each in problems if each.path[: len(self._place.path)] != self._place.path]
        ordered = [*of_entry, *self._place.in_order([each for each in problems if each not in of_entry], self._written)]
        redact = self._redactor.redact
        said = dict.fromkeys(each.redacted(redact) for each in ordered)
        return Examined(None if said else loaded, tuple(said))


def _taken_from(model: Any, keys: list[str]) -> dict[str, Any]:  # a pydantic model, or None where it was not made
    """The values that references stood for, as the model read them: a number, where it wants one."""
    return {key: getattr(model, key) for key in keys if key in getattr(model, "model_fields_set", ())}
