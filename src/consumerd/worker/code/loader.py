"""The loader: from a consumer's entry to its class, its source's kind, and its options. It alone imports user code.

Runs in zygotes, workers, probes and the foreground. It knows a consumer by the contract in `model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from consumerd.config.common_keys import COMMON_KEYS, CommonKeys
from consumerd.config.execution import AS_WRITTEN, secrets_of_environment
from consumerd.config.problems import Problem, in_document_order, raise_problems
from consumerd.config.redaction import Redactor
from consumerd.config.secrets import Resolver
from consumerd.config.shape import ConsumerSettings, LimitBy
from consumerd.config.tables import ModelT, Place, read_table
from consumerd.errors import LoadError, UsageError
from consumerd.model.code_names import divides_by_number
from consumerd.model.contract import source_kind
from consumerd.sources.contract import SourceKind
from consumerd.worker.attempts.error_lists import error_problems
from consumerd.worker.code.batch_problems import batch_problems
from consumerd.worker.code.class_problems import (
    concurrency_problems,
    construction_problems,
    destination_problems,
    hook_problems,
    limit_problems,
    live_problems,
    order_problems,
)
from consumerd.worker.code.field_problems import column_problems, field_problems
from consumerd.worker.code.imports import NotLoadedError, import_class
from consumerd.worker.code.keys import KeyOwners, config_model, judge_unknown, nearly_common
from consumerd.worker.code.kinds import import_client, kind_named
from consumerd.worker.code.remarks import remarks_on
from consumerd.worker.traces import require

Values = Mapping[str, Any]  # the user's own keys have any value
NO_LIMITS: Mapping[str, LimitBy] = MappingProxyType({})


@dataclass(frozen=True)
class LoadedConsumer:
    """A consumer, ready to be made.

    consumer_class: the user's class.
    kind: the kind of its source.
    common: the common keys, with the environment of this process.
    options: the source's own pydantic model.
    configs: what the class's `__init__` gets, everything in it resolved.
    remarks: what `check` names, one sentence each.
    redactor: takes the resolved secrets out of any text.
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
    entry = Place(consumer_class.__name__)
    examination = _Examination(configs, entry, Place(entry.origin, ("configs",)), Resolver(environ, Path.cwd()))
    return _loaded(examination.of_class(consumer_class))


def examine_consumer(settings: ConsumerSettings, environ: Mapping[str, str]) -> Examined:
    """Import the class and check its options; all problems at once. User code that raises is a problem too."""
    resolver = Resolver(environ, settings.directory)
    examination = _Examination(settings.configs, settings.place, settings.configs_place, resolver, settings.limits)
    try:
        consumer_class = import_class(settings)
    except NotLoadedError as error:
        return examination.of_nothing(error)
    return examination.of_class(consumer_class)


def _loaded(examined: Examined) -> LoadedConsumer:
    raise_problems(examined.problems)
    assert examined.loaded is not None, "a consumer without a problem was loaded"
    return examined.loaded


class _Examination:
    """One consumer's `configs`, resolved once, and held against its class.

    entry, place: where the entry and its `configs` stand.
    """

    def __init__(
        self,
        configs: Values,
        entry: Place,
        place: Place,
        resolver: Resolver,
        limits: Mapping[str, LimitBy] = NO_LIMITS,
    ) -> None:
        self._limits = limits
        self._written = configs
        self._problems: list[Problem] = []
        self._entry = replace(entry, found=self._problems)
        self._place = replace(place, found=self._problems)
        self._resolved = resolver.resolve(dict(configs), but=AS_WRITTEN)
        self._referenced = [str(steps[0]) for steps in self._resolved.places]
        of_environment = secrets_of_environment(configs.get("environment"), resolver.environ, resolver.directory)
        self._redactor = Redactor(self._resolved.secrets | of_environment)
        for steps, sentence in self._resolved.failures:
            self._place.note(sentence, *steps)

    def of_nothing(self, error: NotLoadedError) -> Examined:
        """What can be said before there is a class."""
        self._problems.append(error.problem)
        self._problems += nearly_common(self._resolved.value, self._place)
        return Examined(None, self._ordered_problems(), error)

    def of_class(self, consumer_class: type) -> Examined:
        try:
            kind = kind_named(source_kind(consumer_class))
        except UsageError as error:
            self._entry.note(str(error), "class")
            return Examined(None, self._ordered_problems())
        self._problems += hook_problems(consumer_class, kind.hooks, self._entry)
        try:
            import_client(kind)
        except UsageError as error:
            self._entry.note(str(error), "class")
        loaded = self._load(consumer_class, kind)
        problems = self._ordered_problems()
        return Examined(None if problems else loaded, problems)

    def _load(self, consumer_class: type, kind: SourceKind) -> LoadedConsumer:
        owners = KeyOwners(kind.options, config_model(consumer_class))
        common = self._model(CommonKeys, self._resolved.known(COMMON_KEYS)) or CommonKeys()
        unknown, passed_on = judge_unknown(owners, self._resolved.value, self._place, defaulted=self._place.moved)
        self._problems += unknown
        options, configs = self._read(owners, common)
        if kind.traits.moves_ranges and divides_by_number(consumer_class):
            kind = replace(kind, traits=replace(kind.traits, moves_ranges=False, splits_keys=True))
        if common.scaling is not None and kind.traits.splits_keys:
            sentence = (
                "must be one whole number: the query divides the rows by self.shard.index and count, and each change "
                "would restart all workers; divide them by self.shard.owns(key), or scale by hand"
            )
            self._place.note(sentence, "workers")
        self._problems += batch_problems(consumer_class, kind, common, self._entry, self._place)
        self._problems += concurrency_problems(consumer_class, kind, common, self._place)
        self._problems += order_problems(consumer_class, kind, common, self._place)
        if common.traces is not None:
            self._require_traces()
        self._problems += limit_problems(consumer_class, self._limits, self._place)
        columns = (getattr(options, "columns", None) or ()) if kind.name == "table" else ()
        self._problems += column_problems(consumer_class, columns, self._place)
        self._problems += field_problems(consumer_class, columns, common, self._limits, self._place)
        self._problems += live_problems(consumer_class, owners, self._entry)
        self._problems += error_problems(consumer_class, common, self._entry, self._place)
        self._problems += destination_problems(consumer_class, kind, common, self._entry, self._place)
        self._problems += construction_problems(consumer_class, configs, self._entry)
        remarks = remarks_on(consumer_class, kind, common, passed_on)
        return LoadedConsumer(consumer_class, kind, common, options, configs, remarks, self._redactor)

    def _require_traces(self) -> None:
        try:
            require()
        except UsageError as error:
            self._place.note(str(error), "traces")

    def _read(self, owners: KeyOwners, common: CommonKeys) -> tuple[Any, dict[str, Any]]:  # any options
        """The source's options, and what `__init__` gets."""
        values = self._resolved.value
        options = self._model(owners.options, owners.of_options(values))
        configs = {**values, **self._numbers_of(common), **self._numbers_of(options)}
        if common.scaling is not None:
            configs["workers"] = common.scaling.min  # a class finds a number there, whatever is configured
        if owners.config is not None:
            own = self._model(owners.config, owners.of_config(values))
            configs.update({} if own is None else dict(own))
        return options, configs

    def _model(self, model: type[ModelT], values: Values) -> ModelT | None:
        return read_table(model, values, self._place, resolved=self._resolved.places)

    def _numbers_of(self, model: Any) -> dict[str, Any]:  # a pydantic model, or None where it was not made
        """The values that references stood for, as the model read them: a number, where it wants one."""
        return {key: getattr(model, key) for key in self._referenced if key in getattr(model, "model_fields_set", ())}

    def _ordered_problems(self) -> tuple[Problem, ...]:
        """Without a secret, in the order of the document: those of the entry, then those of `configs`."""
        redacted = (each.redacted(self._redactor.redact) for each in self._problems)
        return tuple(in_document_order(redacted, self._written, self._place.path))
