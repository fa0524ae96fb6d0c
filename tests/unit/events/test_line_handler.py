"""Lines of `logging` in the layout of the log: none is lost, and a flood of one kind is few lines and a count."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import consumerd
from consumerd.events.facts import Fact, Level
from consumerd.events.folding import MOST, WINDOW_S
from consumerd.events.line_handler import MOST_KINDS, LineHandler, write_lines
from unit.events.later import Later


def logger_of(name: str) -> logging.Logger:
    """One with no handler, nor any above it."""
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    return logger


class Program(Later):
    """Logs by a logger of its own, on a clock that the test moves."""

    def __init__(self, **more: Any) -> None:
        super().__init__()
        self.facts: list[Fact] = []
        self.handler = LineHandler(self.facts.append, now=lambda: self.now, later=self.later, **more)
        self.logger = logger_of("shop.mails")
        self.logger.addHandler(self.handler)

    def counts(self) -> Counter[str]:
        return Counter(fact.name for fact in self.facts)

    def told(self) -> int:
        """How many lines were written, or counted."""
        folded = [fact.fields["lines"] for fact in self.facts if fact.name == "lines_folded"]
        return self.counts()["line_logged"] + sum(lines for lines in folded if isinstance(lines, int))


def test_a_line_has_its_logger_its_level_and_its_task() -> None:
    program = Program(task=lambda: "tasks:17")
    program.logger.error("mail %d failed", 5)
    assert program.facts == [
        Fact("line_logged", Level.ERROR, {"logger": "shop.mails", "message": "mail 5 failed", "task": "tasks:17"})
    ]


def test_an_exception_brings_its_traceback_and_no_secret() -> None:
    program = Program(redact=lambda text: text.replace("s3cret", "***"))
    try:
        raise ValueError("password s3cret")
    except ValueError:
        program.logger.exception("of s3cret")
    (fact,) = program.facts
    assert fact.fields["message"] == "of ***"
    assert "ValueError: password ***" in str(fact.fields["traceback"])
    assert "s3cret" not in str(fact)


def test_a_flood_of_one_kind_is_its_first_lines_and_a_count_of_the_others() -> None:
    program = Program()
    for number in range(500):
        program.logger.warning("order %d is late", number)
    program.logger.warning("another thing")
    assert program.counts() == {"line_logged": MOST + 1}
    program.passes(WINDOW_S)
    (folded,) = [fact for fact in program.facts if fact.name == "lines_folded"]
    assert folded.fields == {"logger": "shop.mails", "lines": 480, "last_message": "order 499 is late"}
    program.passes(WINDOW_S)
    assert program.counts()["lines_folded"] == 1


def test_each_line_that_is_left_out_is_counted() -> None:
    counted: list[int] = []
    program = Program(count=lambda: counted.append(1))
    for _ in range(MOST + 9):
        program.logger.warning("no")
    assert len(counted) == 9


def test_lines_that_are_no_warnings_are_all_written() -> None:
    program = Program()
    program.handler.setLevel(logging.DEBUG)
    for number in range(500):
        program.logger.info("order %d", number)
        program.logger.debug("order %d", number)
    assert Counter(fact.level for fact in program.facts) == {Level.INFO: 500, Level.DEBUG: 500}


def test_what_was_left_out_is_told_when_the_process_ends() -> None:
    program = Program()
    for _ in range(MOST + 7):
        program.logger.error("no")
    program.handler.flush()
    assert program.facts[-1].fields["lines"] == 7
    assert program.told() == MOST + 7


def test_kinds_without_end_take_a_bounded_memory_and_are_counted() -> None:
    program = Program()
    for number in range(5 * MOST_KINDS):
        program.logger.error("no %s", chr(0x4E00 + number))
    program.handler.flush()
    assert program.counts()["line_logged"] == MOST_KINDS + MOST
    assert program.told() == 5 * MOST_KINDS


@pytest.mark.parametrize(
    "told_apart_by",
    [
        lambda number: str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128)),
        lambda number: hashlib.sha256(b"%d" % number).hexdigest(),
        lambda number: hex(0x7F00_0000_0000 + 0xABCD * number),
    ],
)
def test_lines_that_differ_in_ids_alone_are_of_one_kind(told_apart_by: Callable[[int], str]) -> None:
    program = Program()
    for number in range(230):
        program.logger.warning("order %s is late", told_apart_by(number))
    assert program.counts() == {"line_logged": MOST}


def test_no_flood_of_warnings_swallows_an_error() -> None:
    program, other = Program(), logger_of("shop.orders")
    other.addHandler(program.handler)
    for number in range(2 * MOST_KINDS):
        program.logger.warning("no %s", chr(0x4E00 + number))
    other.error("out of money")
    for _ in range(MOST + 1):
        other.error("again and again")
    other.critical("out of everything")
    written = [fact.fields["message"] for fact in program.facts]
    assert "out of money" in written
    assert written.count("again and again") == MOST
    assert written[-1] == "out of everything"


def test_a_line_whose_text_cannot_be_had_is_logging_s_own_affair(capsys: pytest.CaptureFixture[str]) -> None:
    program = Program()
    program.logger.error("%d", "no number")
    assert program.facts == []
    assert "--- Logging error ---" in capsys.readouterr().err


_STEPS = st.lists(st.one_of(st.tuples(st.integers(0, 3), st.integers(1, 60)), st.floats(0.1, 25.0)), max_size=30)


@given(_STEPS)
def test_each_line_is_written_or_counted(steps: list[tuple[int, int] | float]) -> None:
    program, logged = Program(), 0
    for step in steps:
        if isinstance(step, float):
            program.passes(step)
        else:
            kind, lines = step
            for number in range(lines):
                program.logger.warning("%s: %d", "abcd"[kind], number)
            logged += lines
    program.handler.flush()
    assert program.told() == logged


@pytest.fixture
def last_resort() -> Iterator[Program]:
    before, program = logging.lastResort, Program()
    write_lines(program.handler)
    yield program
    logging.lastResort = before


def test_only_what_no_handler_of_the_user_s_takes_is_written(last_resort: Program) -> None:
    alone = logger_of("alone")
    alone.info("too little")
    alone.warning("enough")
    assert [fact.fields["message"] for fact in last_resort.facts] == ["enough"]
    alone.addHandler(logging.NullHandler())
    alone.warning("the user's own")
    assert len(last_resort.facts) == 1


def test_the_handler_for_users_writes_what_they_give_it(last_resort: Program) -> None:
    logger = logger_of("chosen")
    logger.addHandler(consumerd.LogHandler())
    logger.info("mine")
    assert [(fact.level, fact.fields["message"]) for fact in last_resort.facts] == [(Level.INFO, "mine")]


def test_without_a_worker_it_writes_as_logging_does(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logger_of("elsewhere")
    logger.addHandler(consumerd.LogHandler())
    logger.warning("in a test")
    assert capsys.readouterr().err == "in a test\n"
