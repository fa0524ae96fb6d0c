"""Why a process that the master keeps does not run, as `status` says it."""

from __future__ import annotations

import asyncio
import re
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from consumerd import events
from consumerd.config.shape import Settings
from consumerd.dashboard.serving import listening_at
from consumerd.errors import UsageError
from consumerd.master.children import End
from consumerd.master.control.controls import Controls
from consumerd.master.kept_child import KeptChild, why_ended


def refusing(module: str) -> Any:  # a launcher's answer
    raise OSError("no more processes")


def test_what_cannot_be_executed_is_in_trouble_as_long_as_it_is_wanted() -> None:
    async def run() -> None:
        launcher = SimpleNamespace(execute=refusing)
        children: Any = SimpleNamespace()
        kept = KeptChild("m", launcher, children, lambda fact: None, lambda settings: None, events.dashboard_ended)  # type: ignore[arg-type, return-value]  # fakes
        assert kept.trouble == ""
        kept.want(Settings())
        assert kept.trouble == "it cannot be executed: no more processes"
        kept.want(None)
        assert kept.trouble == ""

    asyncio.run(run())


def test_the_trouble_is_what_it_wrote_last() -> None:
    assert why_ended(End(512, 1.0, "a traceback\nconsumerd: nobody can listen\n")) == "nobody can listen"
    assert "SIGKILL" in why_ended(End(9, 1.0, ""))


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        advice = "choose another in [consumerd.dashboard]"
        sentence = f"nobody can listen at {listen} (Address already in use): {advice}"
        with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"):
            listening_at(listen, advice)


def test_status_has_the_trouble_of_the_page_as_a_problem_of_the_master() -> None:
    parts: dict[str, Any] = dict.fromkeys(Controls.__dataclass_fields__)
    parts |= {
        "pools": [],
        "supervisor": SimpleNamespace(stop_deadline=None),
        "configuration": SimpleNamespace(paused={}, disabled=[]),
        "limits": SimpleNamespace(shown=list),
        "config": "a.toml",
        "started_at": 0.0,
    }
    status = Controls(**parts | {"page": SimpleNamespace(trouble="nobody can listen")}).status()
    assert (status.is_healthy, status.problems) == (False, ["the page does not run: nobody can listen"])
    assert Controls(**parts | {"page": SimpleNamespace(trouble="")}).status().is_healthy
