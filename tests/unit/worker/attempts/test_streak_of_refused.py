"""When records that cannot be decoded are taken for a fault of their consumer: by the loop, with time by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from consumerd import BaseConsumer
from consumerd.testing.messages import messages_of
from consumerd.testing.running import Run
from consumerd.testing.sources import source_of

LIMIT = 20
UNFIT, UNREADABLE, GOOD = {"address": "a"}, b"\x00{", {"address": "a", "region": "eu"}


class Mail(BaseModel):
    address: str
    region: str


class Mails(BaseConsumer):
    SOURCE: ClassVar[str] = "memory"

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.done: list[int] = []

    def handle_task(self, offset: int, record: Mail) -> None:
        self.done.append(offset)


class OneByOne(Mails):
    def pre_handle_task(self) -> None:
        """One hook overridden, so that the fast loop is passed by."""


def run_of(records: list[Any], consumer_class: type[Mails] = Mails, **configs: Any) -> Run:
    configs = {"same_error_limit": LIMIT, **configs}
    return Run(consumer_class, messages_of(records), source=source_of("kafka"), configs=configs)


def until(run: Run, at_s: float) -> None:
    while run.clock.monotonic() < at_s:
        run.turn()


@pytest.mark.parametrize("consumer_class", [Mails, OneByOne])
@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("record", [UNFIT, UNREADABLE], ids=["unfit", "unreadable"])
def test_where_no_record_is_one_none_is_dead(record: object, concurrency: int, consumer_class: type[Mails]) -> None:
    run = run_of([record] * 200, consumer_class, concurrency=concurrency)
    until(run, run.clock.monotonic() + 300)
    assert run.dead() == {}
    [told] = run.told("all_failed")
    assert "UndecodableError" in str(told.fields["error"])


@pytest.mark.parametrize(
    "records",
    [
        [UNFIT] * (LIMIT - 1) + [GOOD],
        ([UNFIT] * (LIMIT - 1) + [GOOD]) * 3,
        [{"address": 1, "region": "eu"}, UNFIT] * 50,
        [GOOD] + [UNREADABLE] * 100,
    ],
    ids=["few", "some done in between", "two reasons in turn", "rubbish behind a good one"],
)
def test_a_few_die_one_by_one(records: list[Any]) -> None:
    run = run_of(records)
    run.until_idle()
    assert len(run.dead()) == len([record for record in records if record is not GOOD])
    assert run.told("all_failed") == []


def test_a_model_that_fits_no_more_pauses_though_others_were_done() -> None:
    run = run_of([GOOD] * 5 + [UNFIT] * 200)
    until(run, run.clock.monotonic() + 300)
    assert (len(run.consumer.done), run.dead()) == (5, {})


def test_what_was_refused_before_dies_when_the_records_behind_it_are_done() -> None:
    run = run_of([UNFIT] * (LIMIT + 2) + [GOOD] * 50)
    until(run, run.clock.monotonic() + 400)
    assert (len(run.consumer.done), len(run.dead()), len(run.told("all_failed"))) == (50, LIMIT + 2, 1)


def test_a_limit_of_zero_lets_all_die() -> None:
    run = run_of([UNFIT] * 100, same_error_limit=0)
    run.until_idle()
    assert len(run.dead()) == 100
