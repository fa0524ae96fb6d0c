"""Remarks: what a consumer's class cannot guarantee, or does on its own. `check` names them; nothing refuses them.

They are found without running the class: from the hooks that it overrides, and the names that its methods use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consumerd.config.common_keys import CommonKeys
from consumerd.model.code_names import code_of, names_in, users_classes
from consumerd.model.contract import is_overridden
from consumerd.sources.contract import SourceKind

BACK_OFF_ATTRIBUTES = ("back_off_time", "max_back_off_time", "expire_time")


def remarks_on(consumer_class: type, kind: SourceKind, common: CommonKeys, passed_on: Sequence[str]) -> tuple[str, ...]:
    """One sentence each, the most important first."""
    return (
        *_on_what_is_given_away(consumer_class, kind),
        *_on_shards(consumer_class, kind, common.most_workers),
        *_on_scaling(kind, common),
        *_on_concurrency(common),
        *_on_batch_size(consumer_class, kind, common),
        *_on_order(kind, common),
        *_on_back_off(consumer_class, common),
        *_on_expiry(common),
        *_on_worker_count(consumer_class, common),
        *(f"configs.{key} is no key of consumerd or of its source: it is passed on to the class" for key in passed_on),
    )


def _on_what_is_given_away(consumer_class: type, kind: SourceKind) -> Iterator[str]:
    if not kind.traits.gives_away:
        return
    yield (
        "its iterate_task gives a task away: one that is being handled when its worker dies is lost unless "
        "iterate_task yields it again; consumerd keeps it from its first failed attempt on"
    )
    if not is_overridden(consumer_class, "task_id"):
        yield (
            "it has no task_id: a record without an 'id' is parked under a random id, and not known again when it is "
            "yielded again; define task_id(self, record)"
        )


def _on_shards(consumer_class: type, kind: SourceKind, workers: int) -> Iterator[str]:
    if kind.traits.splits_keys:
        yield (
            "its query divides the rows by self.shard.index and count: whenever the number of workers changes, all of "
            "them start anew; with self.shard.owns(key) ranges of keys move, and nobody stops"
        )
    members = (value for base in users_classes(consumer_class) for value in vars(base).values())
    if workers == 1 or any(name in ("shard", "worker_id") for value in members for name in names_in(value)):
        return
    if kind.name == "generator":
        yield (
            f"its {workers} workers each run iterate_task, and it reads neither self.shard nor self.worker_id: "
            "unless its origin divides the tasks, each worker gets all of them"
        )
    elif kind.name == "query":
        yield (
            f"its query does not read self.shard: each of its {workers} workers reads every row and keeps its share, "
            "by the row's id; let the query read self.shard"
        )


def _on_scaling(kind: SourceKind, common: CommonKeys) -> Iterator[str]:
    if common.scaling is not None and kind.traits.gives_away:
        yield (
            "how many tasks wait is not known of an iterate_task, so its number of workers stays at "
            f"{common.scaling.min}, the least of configs.workers, unless consumerd scale changes it"
        )


def _on_concurrency(common: CommonKeys) -> Iterator[str]:
    if common.max_unsettled < (most := common.at_once.max):
        yield (
            f"its max_unsettled, {common.max_unsettled}, is below its concurrency, {most}: no more than "
            f"{common.max_unsettled} of its tasks run at once in a worker"
        )


def _on_batch_size(consumer_class: type, kind: SourceKind, common: CommonKeys) -> Iterator[str]:
    is_of_use = is_overridden(consumer_class, "handle_batch") or "batch_size" in kind.options.model_fields
    if "batch_size" in common.model_fields_set and not is_of_use:
        yield "its batch_size changes nothing of how it runs: it has no handle_batch, to which so many tasks would go"


def _on_order(kind: SourceKind, common: CommonKeys) -> Iterator[str]:
    if common.ordered is not None and kind.name == "query" and common.most_workers > 1:
        yield (
            f"its {common.most_workers} workers divide the rows by their id, and tasks of one key are in order within "
            "a worker alone: let the query divide them by the key, as by self.shard.condition(its column)"
        )


def _on_back_off(consumer_class: type, common: CommonKeys) -> Iterator[str]:
    own = [name for name in BACK_OFF_ATTRIBUTES if _sets(consumer_class, name) and getattr(common, name) is None]
    if own:
        yield (
            f"it has a back-off of its own ({', '.join(own)}): consumerd defers failed tasks by it, and a delay that "
            "its own code adds comes on top"
        )


def _on_expiry(common: CommonKeys) -> Iterator[str]:
    back_off, expire = common.back_off_time, common.expire_time
    if back_off is not None and expire is not None and expire < back_off:
        yield (
            f"its expire_time, {expire:g} s, is over before its back_off_time, {back_off:g} s: hardly any task that "
            "fails is tried again later; make it longer"
        )


def _on_worker_count(consumer_class: type, common: CommonKeys) -> Iterator[str]:
    wanted = getattr(consumer_class, "DEFAULT_WORKER_COUNT", 1)
    if "workers" not in common.model_fields_set and wanted != common.fewest_workers:
        yield (
            f"its DEFAULT_WORKER_COUNT is {wanted}, and as in the post the master starts {common.fewest_workers} where "
            "configs.workers is not written: write it"
        )


def _sets(consumer_class: type, name: str) -> bool:
    """Whether the user's code gives this attribute a value: in a class body, or in `__init__`."""
    return any(
        name in vars(base) or name in _assigned(vars(base).get("__init__")) for base in users_classes(consumer_class)
    )


def _assigned(method: object) -> Iterator[str]:
    """The attributes that a method stores."""
    import dis

    code = code_of(method)
    steps = () if code is None else dis.get_instructions(code)
    return (str(step.argval) for step in steps if step.opname == "STORE_ATTR")
