"""What `consumerd doctor` writes, and `consumerd top` shows of it."""

from consumerd.cli.doctor import lines_of
from consumerd.doctor.facts import Finding, Step

PWNED = "\x1b]0;PWNED\x07"


def test_what_tasks_have_said_steers_no_terminal() -> None:
    found = [Finding("x", "a/B", PWNED, [f"ValueError: {PWNED}\n9. all is well"], [Step(PWNED, PWNED)], PWNED)]
    lines = list(lines_of(found))
    assert [line for line in lines if not line.isprintable()] == []
    assert "".join(lines).count("\\x1b]0;PWNED\\x07") == 5
    assert "   - ValueError: \\x1b]0;PWNED\\x07\\n9. all is well" in lines
