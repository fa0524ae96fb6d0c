"""Asking child processes: real ones, that answer, hang, print, and end."""

from pathlib import Path

import pytest

from consumerd.inquiry.asking import SIDE_BY_SIDE, Question, ask, ask_all

ECHO = """
import sys
from consumerd.inquiry.asking import receive
reply, asked = receive(sys.argv[1:])
print("noise" * 1000, flush=True)
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    texts = {
        "echoes": ECHO + "reply.send({'heard': asked})\n",
        "twice": ECHO + "reply.send({'part': 1}, is_last=False)\nreply.send({'part': 2})\n",
        "stalls": ECHO + "reply.send({'part': 1}, is_last=False)\nimport time; time.sleep(900)\n",
        "hangs": ECHO + "import time; time.sleep(900)\n",
        "exits": ECHO + "import os; os._exit(7)\n",
        "deaf": "import os; os.close(0); os._exit(8)\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.usefixtures("modules")
class TestInquiry:
    def test_a_question_of_any_size_is_heard(self) -> None:
        asked = {"text": "ö" * 500_000}
        answer = ask(Question("echoes", asked))
        assert (answer.found, answer.ending) == ({"heard": asked}, "")
        assert answer.output.startswith("noise")

    def test_answers_stand_in_the_order_of_the_questions(self) -> None:
        count = 2 * SIDE_BY_SIDE + 1
        answers = ask_all([Question("echoes", {"number": number}) for number in range(count)])
        assert [answer.found for answer in answers] == [{"heard": {"number": number}} for number in range(count)]

    def test_nobody_asked_answers_nothing(self) -> None:
        assert ask_all([]) == []

    def test_a_child_may_answer_again_with_more(self) -> None:
        answer = ask(Question("twice", {}, more_s=30))
        assert (answer.found, answer.ending) == ({"part": 2}, "")

    def test_what_came_before_a_hang_is_kept(self) -> None:
        answer = ask(Question("stalls", {}, more_s=0.1))
        assert (answer.found, answer.ending) == ({"part": 1}, "did not answer within 0.1 s")

    def test_one_that_hangs_is_ended_at_its_deadline(self) -> None:
        answer = ask(Question("hangs", {}, timeout_s=2))
        assert (answer.found, answer.ending) == (None, "did not answer within 2 s")

    def test_one_that_exits_says_how(self) -> None:
        assert ask(Question("exits", {})).ending == "ended with exit code 7 before it had answered"

    def test_one_that_does_not_listen_is_no_error_of_ours(self) -> None:
        assert ask(Question("deaf", {"text": "x" * 500_000})).ending == "ended with exit code 8 before it had answered"

    def test_no_descriptor_is_left_open(self) -> None:
        ask_all([Question("exits", {})])
        before = _open_descriptors()
        ask_all([Question("echoes", {}), Question("exits", {}), Question("hangs", {}, timeout_s=0.1)])
        assert _open_descriptors() == before
