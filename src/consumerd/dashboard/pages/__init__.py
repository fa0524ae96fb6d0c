"""The pages, one a file, in the order of the navigation; and what their forms may ask of the master."""

from __future__ import annotations

from collections.abc import Sequence

from consumerd.dashboard.page import Act, Page
from consumerd.dashboard.pages import destinations, happenings, overview, parked, pool, schedules, worker

PAGES: Sequence[Page] = (
    *(overview.PAGE, pool.PAGE, worker.PAGE, worker.STACKS),
    *(*parked.PAGES, destinations.PAGE, schedules.PAGE, *happenings.PAGES),
)

ACTS: Sequence[Act] = (
    *(*overview.ACTS, *pool.ACTS, *worker.ACTS),
    *(*parked.ACTS, *destinations.ACTS, *schedules.ACTS),
)
