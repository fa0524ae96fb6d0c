"""The pages, one a file, in the order of the navigation; and what their forms may ask of the master."""

from __future__ import annotations

from collections.abc import Sequence

from consumerd.dashboard.page import Act, Page
from consumerd.dashboard.pages import overview, pool, worker

PAGES: Sequence[Page] = (overview.PAGE, pool.PAGE, worker.PAGE, worker.STACKS)

ACTS: Sequence[Act] = (*overview.ACTS, *pool.ACTS, *worker.ACTS)
