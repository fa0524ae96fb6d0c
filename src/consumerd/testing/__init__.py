"""For tests of your consumers: `run_consumer` runs one on records, with no process, no server and no waiting.

    from consumerd.testing import run_consumer

    def test_a_login_is_granted():
        run = run_consumer(LoginConsumer, [{"uid": 7}])
        assert (run.done, run.dead()) == (1, {})

The contract suite for sources, `consumerd.testing.source_contract`, is for those who write a source.
"""

from consumerd.testing.clock import ManualClock
from consumerd.testing.messages import Message
from consumerd.testing.running import Run, run_consumer

__all__ = ["ManualClock", "Message", "Run", "run_consumer"]
