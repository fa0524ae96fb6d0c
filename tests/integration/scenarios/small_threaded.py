"""A consumer whose import leaves a thread behind: its workers cannot be forked."""

import threading

from integration.scenarios.small_pools import Counting

threading.Thread(target=threading.Event().wait, daemon=True).start()

__all__ = ["Counting"]
