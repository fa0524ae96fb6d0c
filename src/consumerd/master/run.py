"""`consumerd run`: the master from its first step to its exit code. Runs in the master."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import setproctitle

from consumerd import clock, events
from consumerd.config.masking import without_passwords
from consumerd.config.shape import EMBEDDED, ConsumerSettings, Document, LogSettings
from consumerd.errors import UsageError
from consumerd.events.facts import Fact
from consumerd.events.line_handler import LineHandler, write_lines
from consumerd.events.listeners import Listeners
from consumerd.events.log import log_to_stderr, log_to_stdout
from consumerd.events.outlet import Outlet
from consumerd.master.children import Children
from consumerd.master.control.audit import AuditLog
from consumerd.master.control.broadcast import Broadcast
from consumerd.master.control.configuration import Configuration
from consumerd.master.control.controls import Controls
from consumerd.master.control.happened import Happened
from consumerd.master.control.limits import Limits
from consumerd.master.control.overrides import Overrides, load_overrides
from consumerd.master.control.reloader import Reloader
from consumerd.master.control.server import ControlServer
from consumerd.master.duties import duties
from consumerd.master.duties.service import Service
from consumerd.master.event_command import EventCommand
from consumerd.master.helper import StoreHelper
from consumerd.master.host.durability import Durability, filesystem_of, why_it_passes
from consumerd.master.host.launcher import Launcher
from consumerd.master.host.memory import OomKills
from consumerd.master.host.own_process import ServiceSocket
from consumerd.master.host.signals import hearing
from consumerd.master.host.state_watch import StateWatch
from consumerd.master.host.stderr import StderrPipes
from consumerd.master.kept_children import dashboard, limits_helper
from consumerd.master.pools.entry import Entry
from consumerd.master.pools.mailbox import Mailbox
from consumerd.master.pools.pools import Pools
from consumerd.master.pools.tools import Tools
from consumerd.master.supervisor import Supervisor
from consumerd.standard_streams import STDERR
from consumerd.state import host_identity, locks
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.messages import Assignment, Serve
from consumerd.wire.method import Method

PATIENCE_S = 0.05
"""How long one of the master's log lines may wait for its reader."""

FOLLOWERS_LEAVE_IN_S = 0.5
"""How long those who follow events may read on at the end."""


def run_master(
    document: Document,
    state_dir: StateDirectory,
    read: Callable[[], Document],
    service_socket: ServiceSocket,
    launcher: Launcher,
    methods: Mapping[str, type[Method]],
) -> int:
    """Run all that `document` says until asked to stop, in the foreground; the exit code.

    read: reads the configuration anew, for a reload. methods: what the control socket answers, by name.
    StateDirectoryError when the directory cannot be ours, UsageError where a consumer that is loaded must not run so.
    """
    state_dir.prepare()
    lock = locks.hold(state_dir)

    async def run() -> int:
        return await _Master(document, lock, read, service_socket, launcher, methods).run()

    try:
        setproctitle.setproctitle(f"consumerd: master {document.origin}")
        return asyncio.run(run())
    finally:
        lock.release()


class _Master:
    """The master's parts, put together. Made in the event loop, and run once."""

    def __init__(
        self,
        document: Document,
        lock: locks.MasterLock,
        read: Callable[[], Document],
        service_socket: ServiceSocket,
        launcher: Launcher,
        methods: Mapping[str, type[Method]],
    ) -> None:
        self._document = document
        self._lock = lock
        self._state_dir = lock.directory
        self._woken = asyncio.Event()
        self._reporting = _Reporting(document.settings.log)
        self._emit = self._reporting.emit
        self._tools = _tools(document, self._state_dir, self._reporting, launcher, self._woken.set)
        self._children = Children(launcher, self._tools.stderr)
        self._limits_helper = limits_helper(self._tools, self._children, document, self._state_dir)
        self._dashboard = dashboard(self._tools, self._children, document, self._state_dir)
        self._limits = Limits(self._tools.holders.table, document.settings, self._limits_helper.want)
        make_entry = _entries(self._state_dir)
        enabled = (consumer for consumer in document.consumers if consumer.common.enabled)
        entries = (make_entry(document, consumer) for consumer in enabled)
        self._pools = Pools(entries, self._tools, clock.monotonic())
        self._configuration = Configuration(
            self._pools,
            self._emit,
            document,
            make_entry,
            overrides=_overrides(self._state_dir, self._emit),
            overrides_file=self._state_dir.overrides,
            limits=self._limits,
            wake=self._woken.set,
        )
        service = Service(service_socket, self._pools, self._emit)
        self._reloader = Reloader(self._configuration, read, self._emit, service.reloading)
        self._on_event = self._event_command()
        serve = Serve(document.settings.model_dump_json(), str(document.directory), str(self._state_dir.path))
        self._helper = StoreHelper(launcher, self._children, self._emit, serve)
        self._supervisor = Supervisor(
            self._pools,
            self._tools,
            self._woken,
            duties=duties(self._emit),
            service=service,
            note_end=self._children.note_end,
        )
        self._control = self._control_server(methods)

    def _calls(self) -> Mapping[signal.Signals, Callable[[], object]]:
        """What signals ask for."""
        stop, reload = self._supervisor.stop, self._reloader.reload_soon
        return {
            signal.SIGTERM: lambda: stop("SIGTERM"),
            signal.SIGINT: lambda: self._supervisor.interrupt(clock.monotonic()),
            signal.SIGHUP: lambda: reload("SIGHUP"),
            signal.SIGCHLD: self._woken.set,
        }

    def _control_server(self, methods: Mapping[str, type[Method]]) -> ControlServer:
        controls = Controls(
            pools=self._pools,
            emit=self._emit,
            wake=self._woken.set,
            supervisor=self._supervisor,
            helper=self._helper,
            configuration=self._configuration,
            reloader=self._reloader,
            broadcast=self._reporting.broadcast,
            limits=self._limits,
            happened=self._reporting.happened,
            page=self._dashboard,
            config=self._document.config,
            started_at=clock.wall(),
        )
        audit = AuditLog(self._state_dir.audit_log, self._emit)
        self._emit.add(audit)
        return ControlServer(self._state_dir.control_socket, methods, controls, audit, self._emit)

    def _event_command(self) -> EventCommand:
        found = EventCommand(
            self._tools.launcher,
            self._children,
            self._emit,
            command=lambda: self._configuration.settings.on_event,
            state_dir=str(self._state_dir.path),
        )
        for listeners in (self._emit, self._reporting.told):
            listeners.add(found)
        return found

    async def run(self) -> int:
        """Until every pool is gone."""
        own_id = host_identity.own_id(self._state_dir)

        def restore() -> None:
            host_identity.keep_id(self._state_dir, own_id)
            self._configuration.keep_overrides()

        give_up = self._supervisor.give_up
        state_watch = StateWatch(self._lock, self._control.listen_again, self._emit, restore, give_up)
        with hearing(self._calls()):  # before anybody can see that it is there
            await self._control.start()
            watching = asyncio.create_task(state_watch.run())
            self._emit(_started(self._document, self._state_dir))
            if self._document.settings.dashboard is not None:
                self._dashboard.want(self._document.settings)
            if self._document.settings.watch:
                _watch(self._reloader, self._document, self._emit)
            try:
                exit_code = await self._supervisor.run()
            finally:
                watching.cancel()
                await self._close()
        if self._supervisor.refusal is not None:
            raise UsageError(self._supervisor.refusal)
        return exit_code

    async def _close(self) -> None:
        self._helper.close()
        self._on_event.close()
        await self._limits_helper.leave()
        await self._dashboard.leave()
        self._children.close()
        await self._reloader.close()
        self._emit(events.master_stopped(pid=os.getpid()))
        await self._reporting.broadcast.close(FOLLOWERS_LEAVE_IN_S)
        await self._control.close()


class _Reporting:
    """How the master tells what has happened.

    emit: into the log, and to those who follow.
    told: to those who follow, what is in the log already.
    broadcast: has those who follow; happened: counts.
    """

    def __init__(self, log: LogSettings) -> None:
        self.happened = Happened()
        write_lines(LineHandler(log_to_stderr(log.format, log.level, {})))
        self.emit = Listeners([log_to_stdout(log.format, log.level, patience_s=PATIENCE_S), self.happened])
        self.broadcast = Broadcast(self.emit)
        self.emit.add(self.broadcast)
        self.told = Listeners([self.broadcast, self.happened])


def _tools(
    document: Document, state_dir: StateDirectory, reporting: _Reporting, launcher: Launcher, wake: Callable[[], None]
) -> Tools:
    loop = asyncio.get_running_loop()
    passes = why_it_passes(filesystem_of(state_dir.path), os.environ)
    return Tools(
        launcher=launcher,
        mailbox=Mailbox(loop, wake),
        stderr=StderrPipes(loop, Outlet(STDERR, patience_s=PATIENCE_S), reporting.broadcast.hear_stderr),
        emit=reporting.emit,
        tell=reporting.told,
        judge=Durability(document.settings.parking, state_dir.path, passes, reporting.emit).judge,
        claim_oom_kill=OomKills().claim,
    )


def _started(document: Document, state_dir: StateDirectory) -> Fact:
    return events.master_started(
        config=document.origin,
        pid=os.getpid(),
        pools=sum(consumer.common.enabled for consumer in document.consumers),
        state_dir=str(state_dir.path),
        parking=without_passwords(document.settings.parking or EMBEDDED),
    )


def _entries(state_dir: StateDirectory) -> Callable[[Document, ConsumerSettings], Entry]:
    own_id = host_identity.own_id(state_dir)

    def entry(document: Document, consumer: ConsumerSettings) -> Entry:
        assignment = Assignment(
            consumer=consumer.model_dump_json(),
            settings=document.settings.model_dump_json(),
            directory=str(document.directory),
            state_dir=str(state_dir.path),
            member_prefix=f"{own_id}.{consumer.full_name.dotted}",
        )
        stop_timeout_s = consumer.common.stop_timeout or document.settings.stop_timeout
        return Entry(settings=consumer, assignment=assignment, state_dir=state_dir, stop_timeout_s=stop_timeout_s)

    return entry


def _overrides(state_dir: StateDirectory, emit: Listeners) -> Overrides:
    overrides, problem = load_overrides(state_dir.overrides)
    if problem is not None:
        emit(events.overrides_lost(reason=problem))
    return overrides


def _watch(reloader: Reloader, document: Document, emit: Listeners) -> None:
    """Only a file can be watched: of an object nobody knows which files it is made from."""
    file = Path(document.origin)
    if file.is_file():
        reloader.watch(file)
    else:
        emit(events.watch_refused(config=document.origin, advice="use consumerd reload"))
