"""Chromium, which the tests drive: as it is installed here, or out of Debian's package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from servers.packages import require_programs

PROGRAM = "chromium"


def ensure_installed() -> str:
    """The path of the program. UnavailableError."""
    return require_programs((PROGRAM,), (PROGRAM,))[PROGRAM]


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser without a window. UnavailableError."""
    program = ensure_installed()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])  # the pages are our own
        try:
            yield browser
        finally:
            browser.close()
