"""Events as people read them."""

from consumerd.verbs.events import render


def test_an_event_is_a_line_and_a_traceback_stands_below_it() -> None:
    item = {
        "timestamp": "2026-11-28T12:00:00.000Z",
        "level": "error",
        "event": "consume_failed",
        "consumer": "shop/jobs",
        "worker_id": 3,
        "error": "no route\x1b[2J",
        "traceback": 'File "jobs.py", line 7\n  connect()\x07',
        "reason": "",
    }
    assert render(item).split("\n") == [
        '2026-11-28T12:00:00.000Z error   shop/jobs consume_failed worker_id=3 error="no route\\\\x1b[2J"',
        "  traceback:",
        '    File "jobs.py", line 7',
        "      connect()\\x07",
    ]
