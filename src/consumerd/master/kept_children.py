"""Which processes the master keeps beside its pools, and what each is asked for. Runs in the master."""

from __future__ import annotations

from consumerd import events
from consumerd.config.shape import Document, Settings
from consumerd.master.children import Children
from consumerd.master.kept_child import KeptChild
from consumerd.master.pools.tools import Tools
from consumerd.state import host_identity
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.messages import HelpLimits, ServeDashboard

LIMITS_HELPER, DASHBOARD = "consumerd.limits.helper", "consumerd.dashboard"
"""The modules that are executed."""


def limits_helper(tools: Tools, children: Children, document: Document, state_dir: StateDirectory) -> KeptChild:
    """What reads numbers of limits, and shares limits with other hosts. It has the shared table."""

    def ask(settings: Settings) -> tuple[HelpLimits, tuple[int, ...]]:
        own_id = host_identity.own_id(state_dir)
        own = [consumer.common.stop_timeout or 0.0 for consumer in document.consumers]
        longest_s = max([settings.stop_timeout, *own])
        asked = HelpLimits(settings.model_dump_json(), str(document.directory), str(state_dir.path), own_id, longest_s)
        return asked, (tools.holders.table.fileno(),)

    return KeptChild(LIMITS_HELPER, tools.launcher, children, tools.emit, ask, events.limits_helper_ended)


def dashboard(tools: Tools, children: Children, document: Document, state_dir: StateDirectory) -> KeptChild:
    """What answers HTTP. It asks the master as everybody does, by the control socket."""

    def ask(settings: Settings) -> tuple[ServeDashboard, tuple[int, ...]]:
        assert settings.dashboard is not None
        own = settings.dashboard.model_dump_json()
        return ServeDashboard(own, str(document.directory), str(state_dir.path)), ()

    return KeptChild(DASHBOARD, tools.launcher, children, tools.emit, ask, events.dashboard_ended)
