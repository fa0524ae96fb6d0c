"""Schedules on the servers that hosts share, and as masters run them."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumerd.parking.opening import open_store
from contracts.parking_store import Place
from contracts.schedules import ScheduleContract

NOWHERE = Path("/nowhere")


class TestServers(ScheduleContract):
    @pytest.fixture
    def place(self, database_url: str) -> Place:
        return lambda: open_store(database_url, NOWHERE)
