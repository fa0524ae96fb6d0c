"""Fields that no record of a consumer has, though its model or its keys need them. Runs in zygotes, probes and the
foreground."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel
from pydantic.fields import FieldInfo

from consumerd.config.common_keys import CommonKeys
from consumerd.config.keys.coalescing import Coalesce
from consumerd.config.problems import KeyPath, Problem, did_you_mean
from consumerd.config.shape import LimitBy
from consumerd.config.tables import Place
from consumerd.worker.attempts.handler import record_model


def column_problems(consumer_class: type, columns: Sequence[str], configs: Place) -> Iterator[Problem]:
    """Fields without a default, in the model of the records, that no column gives: each row would be refused.

    columns: of which the records are made; empty where that is not known.
    """
    model = record_model(consumer_class)
    if model is None or not columns or "*" in columns or _makes_fields(model):
        return
    lacking = [
        name
        for name, field in model.model_fields.items()
        if field.is_required() and not _is_given(name, field, columns)
    ]
    if lacking:
        what = f"a column for {', '.join(lacking)}" if len(lacking) == 1 else f"columns for {', '.join(lacking)}"
        fix = "add it" if len(lacking) == 1 else "add them"
        sentence = f"lacks {what}, without which no row is the {model.__name__} that {consumer_class.__name__} handles"
        yield configs.problem(f"{sentence}: {fix}, or give the field a default", "columns")


def field_problems(
    consumer_class: type, columns: Sequence[str], common: CommonKeys, limits: Mapping[str, LimitBy], configs: Place
) -> Iterator[Problem]:
    """Fields by which tasks are told apart, and that no record has.

    columns: of which its records are made; empty where that is not known.
    """
    model = record_model(consumer_class)
    has_any_field = "*" in columns if model is None else model.model_config.get("extra") == "allow"
    if has_any_field:
        return
    known, made = (columns, "its `columns`") if model is None else (tuple(model.model_fields), model.__name__)
    for what, field, path in _used(common, limits):
        name = field if model is None else field.partition(".")[0]
        if known and name not in known and not hasattr(model, name):
            advice = did_you_mean(name, known) or f": it has {', '.join(known)}"
            yield configs.problem(f"{what} the field '{field}', which {made} does not have{advice}", *path)
        elif model is not None and _has_default_alone(model, name, columns):
            advice = f"add the column, or all rows have the default of {model.__name__}.{name}"
            yield configs.problem(f"{what} the field '{field}', which its `columns` do not give: {advice}", *path)


def _used(common: CommonKeys, limits: Mapping[str, LimitBy]) -> Iterator[tuple[str, str, KeyPath]]:
    """What names a field, in words; the field, and where that stands."""
    coalesce = common.coalesce or Coalesce()
    by = [coalesce.by] if isinstance(coalesce.by, str) else coalesce.by or []
    used: list[tuple[str, str | None, KeyPath]]
    used = [(f"the limit '{name}' is by", limit.by, ("limits",)) for name, limit in limits.items()]
    used += [("names", common.destination, ("destination",))]
    used += [("names", coalesce.order_by, ("coalesce", "order_by"))]
    used += [("names", field, ("coalesce", "by")) for field in by]
    return ((what, field, path) for what, field, path in used if field is not None)


def _has_default_alone(model: type[BaseModel], name: str, columns: Sequence[str]) -> bool:
    """Whether a field has the same value in all records, as far as can be told: its default."""
    field = model.model_fields.get(name)
    if field is None or not columns or "*" in columns or _makes_fields(model) or field.default_factory is not None:
        return False
    return not field.is_required() and not _is_given(name, field, columns)


def _makes_fields(model: type[BaseModel]) -> bool:
    """Whether a model may make fields of other things than the columns of their names."""
    return issubclass(model, RootModel) or bool(model.__pydantic_decorators__.model_validators)


def _is_given(name: str, field: FieldInfo, columns: Sequence[str]) -> bool:
    alias = field.validation_alias or field.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    names = {name} | {str(each.path[0]) if isinstance(each, AliasPath) else each for each in choices}
    return not names.isdisjoint(columns)
