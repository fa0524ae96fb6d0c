"""What differs between two configurations, as changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.config.common_keys import CommonKeys
from consumerd.config.diff import MASTERS_KEYS, Change, ChangeKind, changed_settings, diff
from consumerd.config.shape import ConsumerSettings, Document, LogSettings, Settings
from consumerd.model.identity import ConsumerName


def consumer(name: str, **configs: object) -> ConsumerSettings:
    common = CommonKeys.model_validate({key: value for key, value in configs.items() if key in CommonKeys.model_fields})
    return ConsumerSettings(group="g", name=name, target="m:C", configs=configs, common=common)


def document(*consumers: ConsumerSettings, **settings: object) -> Document:
    return Document(
        origin="c.json", directory=Path(), settings=Settings.model_validate(settings), consumers=consumers
    )  # fmt: skip


consumers = st.builds(
    consumer,
    st.sampled_from(["a", "b", "c"]),
    workers=st.integers(1, 3),
    color=st.sampled_from(["red", "blue"]),
)
documents = st.lists(consumers, unique_by=lambda found: found.name).map(lambda found: document(*found))


def applied(changes: tuple[Change, ...], before: Document) -> dict[ConsumerName, ConsumerSettings]:
    after = {found.full_name: found for found in before.consumers}
    for change in changes:
        if change.after is None:
            del after[change.consumer]
        else:
            after[change.consumer] = change.after
    return after


@given(documents, documents)
def test_the_changes_applied_to_one_make_the_other_and_none_is_for_nothing(before: Document, after: Document) -> None:
    changes = diff(before, after)
    assert applied(changes, before) == {found.full_name: found for found in after.consumers}
    known = {found.full_name: found for found in before.consumers}
    assert all(known.get(change.consumer) != change.after for change in changes)


@given(documents)
def test_a_configuration_does_not_differ_from_itself(same: Document) -> None:
    assert diff(same, same) == ()


@given(documents, documents)
def test_who_is_amended_differs_in_the_masters_keys_alone(before: Document, after: Document) -> None:
    for change in diff(before, after):
        if change.kind is ChangeKind.AMENDED:
            assert MASTERS_KEYS.issuperset(change.keys)


def test_another_stop_timeout_for_all_amends_those_that_have_none_of_their_own() -> None:
    both = (consumer("a"), consumer("b", stop_timeout=3.0))
    [change] = diff(document(*both, stop_timeout=25.0), document(*both, stop_timeout=10.0))
    assert str(change) == "g/a amended (stop_timeout)"


def test_the_settings_that_differ_are_no_change_of_a_pool() -> None:
    before = document(parking="embedded")
    after = document(parking="postgresql://host/database", watch=True, log=LogSettings(level="debug").model_dump())
    assert changed_settings(before, after) == ["parking", "watch", "log"]
    assert changed_settings(before, document(parking="embedded", state_dir="there")) == ["state_dir"]
    assert diff(before, after) == ()


def kinds(before: Document, after: Document) -> list[ChangeKind]:
    return [change.kind for change in diff(before, after)]


@pytest.mark.parametrize(
    "changed",
    [{"environment": {"A": "1"}}, {"env_file": "variables"}, {"directory": "."}, {"nice": 5}, {"user": 0}],
    ids=str,
)
def test_a_change_of_how_processes_are_executed_is_a_new_edition(changed: dict[str, object]) -> None:
    assert kinds(document(consumer("a")), document(consumer("a", **changed))) == [ChangeKind.REPLACED]


def test_a_consumer_is_turned_off_and_on_whatever_else_has_changed() -> None:
    on, off = document(consumer("a")), document(consumer("a", enabled=False))
    assert kinds(on, off) == [ChangeKind.DISABLED]
    assert kinds(off, on) == [ChangeKind.ENABLED]
    assert kinds(off, document(consumer("a", enabled=False, color="red"))) == [ChangeKind.DISABLED]
    assert kinds(off, document(consumer("a", color="red"))) == [ChangeKind.ENABLED]
    assert kinds(off, off) == []


def test_the_class_is_named_as_it_is_written() -> None:
    change = Change(ChangeKind.REPLACED, ConsumerName("g", "a"), None, ("target", "workers"))
    assert str(change) == "g/a replaced (class, workers)"
