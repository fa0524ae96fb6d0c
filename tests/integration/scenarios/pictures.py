"""`make screenshots`: the pictures of the page in the manual, of a launch day of examples/gop on SQLite.

It is a small one, with its faults: a game server and a payment channel are away, workers and the master are killed.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import Browser, StorageState

from servers.browser import launched
from world.lite import run
from world.load import Load

PLOTS = Path(__file__).parents[3] / "docs" / "plots"
WIDE, TELEPHONE = (1280, 860), (375, 812)
PRODUCED_FOR_S = 80.0
SHOWN_AT_S = 50.0
"""While tasks are produced: the day ends as soon as all are done."""

PATIENCE_S = 240.0
SETTLES_MS = 2_500
QUALITY = 82
PICTURES = (
    ("page-overview", "/", WIDE, "light"),
    ("page-overview-dark", "/", WIDE, "dark"),
    ("page-pool", "/pools/gop_payments/notifications", WIDE, "light"),
    ("page-worker", "/pools/gop_payments/notifications/workers/0", WIDE, "light"),
    ("page-telephone", "/", TELEPHONE, "dark"),
    ("page-parked", "/parked", WIDE, "light"),
)
LOAD = Load(seed=1, accounts=500, logins=50_000, changes=12_000, payments=2_500, orders=3_000)


def main() -> int:
    """Write the pictures, as WebP."""
    folder = Path(tempfile.mkdtemp(prefix="consumerd-pictures-"))
    day = threading.Thread(target=run, args=(folder, LOAD, PRODUCED_FOR_S, PATIENCE_S))
    began = time.monotonic()
    day.start()
    state = folder / "state"
    while not (state / "control.sock").exists():
        time.sleep(0.1)
    command = [sys.executable, "-m", "consumerd", "dashboard", "--state-dir", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        link = page.stdout.readline().strip()
        time.sleep(max(0.0, began + SHOWN_AT_S - time.monotonic()))
        with launched() as browser:
            take(browser, link)
        page.send_signal(signal.SIGINT)
    day.join()
    shutil.rmtree(folder)
    return 0


def take(browser: Browser, link: str) -> None:
    with browser.new_context() as context:
        context.new_page().goto(link)
        signed_in: StorageState = context.storage_state()
    for name, path, size, scheme in PICTURES:
        viewport = {"width": size[0], "height": size[1]}
        with browser.new_context(viewport=viewport, color_scheme=scheme, storage_state=signed_in) as context:
            page = context.new_page()
            page.goto(link.partition("/sign-in")[0] + path)
            page.wait_for_timeout(SETTLES_MS)
            asked = {"format": "webp", "quality": QUALITY}
            shot = context.new_cdp_session(page).send("Page.captureScreenshot", asked)
            (PLOTS / f"{name}.webp").write_bytes(base64.b64decode(shot["data"]))
            if os.environ.get("FULL"):
                page.screenshot(path=f"{os.environ['FULL']}/{name}.png", full_page=True)


if __name__ == "__main__":
    sys.exit(main())
