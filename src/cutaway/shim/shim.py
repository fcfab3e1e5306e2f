"""The shim: the process that owns one container, from its sandbox to the last byte of output.

States and what moves them (``status``; the runtime's own states are inside ``creating``…)::

    launched ──make──▶ creating ──prepared──▶ created ──start──▶ running ◀──resume/pause──▶ paused
        │                  │                     │                  │                         │
        └──────────────────┴──────failed─────────┴──────exited──────┴─────────exited──────────┘
                                     │                      │
                                     ▼                      ├──policy──▶ restarting
                                  stopped ◀─────────────────┴────stop────────┤
                                                                             └─delay over─▶ creating

The order at an end: the pipes are read empty, the log is whole, exit.json is written, the engine
is told, waiters are noted; only then are cgroups and namespaces cleaned up. The shim leaves when
nothing of the container is left, no client still reads, and the engine has acknowledged all events
(or is gone: then state.json keeps them).
"""

import contextlib
import gc
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from cutaway.errors import Conflict, CutawayError
from cutaway.shim import records
from cutaway.shim.engine_link import EngineLink, describe_error
from cutaway.shim.execs import Execs
from cutaway.shim.health import UNHEALTHY, HealthChecker, HealthTally
from cutaway.shim.io.client import Client
from cutaway.shim.io.streams import ProcessStreams
from cutaway.shim.ledger import LedgerFile
from cutaway.shim.logs.driver import LogDriver
from cutaway.shim.logs.opening import open_log
from cutaway.shim.loop import Timer
from cutaway.shim.oom import OomWatch
from cutaway.shim.prepared import Prepared, RuntimeSupport
from cutaway.shim.protocol import Launch, RestartPolicy, Status
from cutaway.shim.requests import RequestHandler
from cutaway.shim.restart import RestartState, decide_restart
from cutaway.shim.run import Run
from cutaway.shim.runtimes.choice import choose_runtime
from cutaway.shim.sandbox import NetworkChoice
from cutaway.shim.snapshot import take_snapshot
from cutaway.shim.waiters import Waiters

_LEDGER_DELAY_S = 0.1
_FAREWELL_S = 10.0
_FULL_DISK_PATIENCE_S = 300.0
_LOG_RETRY_S = 0.5


class Shim:
    """One container's owner, from ``begin`` until its loop stops: the container is gone.

    Args:
        control_fd: the connection to the engine that asked for the launch.
        support: what the launcher has prepared for all runtimes.
        prepared: what this process made before it knew its container.
        listener_fd: of the container's socket, when another shim has made it.
    """

    def __init__(
        self,
        launch: Launch,
        control_fd: int,
        support: RuntimeSupport,
        prepared: Prepared,
        *,
        listener_fd: int = -1,
    ) -> None:
        self.launch = launch
        self.support = support
        self.prepared = prepared
        self.status = Status.LAUNCHED
        self.policy = launch.restart or RestartPolicy()
        self.restart = RestartState(launch.restart_count)
        self.next_restart_ns = 0
        self.waiters = Waiters()
        self.sandbox = prepared.sandbox
        self.ledger = LedgerFile(f"{launch.directory}/ledger.json")
        self.failure: Exception | None = None
        self.last_exit: dict[str, Any] | None = None
        self.health: HealthChecker | None = None
        self.oom: OomWatch | None = None
        self.loop = prepared.loop
        self.loop.on_error = self._report
        self.link = EngineLink(
            self.loop,
            control_fd,
            f"{launch.bundle}/shim.sock",
            handler=RequestHandler(self).handle,
            on_change=self._engine_changed,
            listener_fd=listener_fd,
        )
        self.execs = Execs(self.loop, self.link.emit, launch.directory)
        self.log: LogDriver = LogDriver()
        self.streams = self.new_streams()
        self._ended_streams: list[ProcessStreams] = []
        self.run: Run | None = None
        self._restart_timer: Timer | None = None
        self.told_streak = 0
        self.is_clean = False
        self._is_log_closed = False
        self._has_erred = False
        self.is_at_rest = False
        self.when_started: Callable[[], object] | None = None  # a signal that came too early
        self._log_deadline_s = 0.0
        self.exit_seq = 0
        self.loop.on_child = self._child_ended

    def begin(self) -> None:
        """Prepare what needs no bundle, while the engine writes that; ``make`` goes on."""
        launch = self.launch
        records.remove_exit(launch.bundle, launch.directory)
        try:
            if launch.network == NetworkChoice.OWN:
                self.sandbox.create()
            else:
                self.sandbox.withdraw()
            self.log = open_log(launch.log, self.loop)
            self.streams = self.new_streams()
            self.run = self.new_run()
        except (CutawayError, OSError, ValueError) as error:
            self._failed(None, error)

    def make(self) -> None:
        """Begin to make the container: its bundle is written.

        Raises:
            CutawayError, OSError, ValueError: why it can't be made, or could not be prepared.
        """
        if self.failure is None:
            if self.run is None or self.status is not Status.LAUNCHED:
                raise Conflict(f"container {self.launch.container_id} is {self.status}")
            self._create(self.run)
            if self.launch.network == NetworkChoice.INIT:
                self._adopt_network(self.run)
        if self.failure is not None:
            raise self.failure

    # -- one run --------------------------------------------------------------------------------

    def new_streams(self) -> ProcessStreams:
        """Return the streams of a run to come."""
        launch = self.launch
        return ProcessStreams(
            self.loop,
            self.log,
            spill_directory=launch.directory,
            terminal=launch.terminal,
            stdin_open=launch.stdin_open,
            stdin_once=launch.stdin_once,
            on_client_gone=self._client_gone,
        )

    def _create(self, run: Run) -> None:
        """Have the container made; it goes on beside this process."""
        self.status = Status.CREATING
        launch = self.launch
        size = {"rows": launch.console_height, "columns": launch.console_width}
        run.create(self.sandbox.network_fd, **size)

    def _adopt_network(self, run: Run) -> None:
        """Wait until the runtime has made the namespace, and keep it for the runs to come."""
        if self.failure is None:
            try:
                self.sandbox.adopt(run.runtime.network_fd())
            except (CutawayError, OSError) as error:
                run.fail(error)

    def _begin_again(self) -> None:
        """Make a new run as the restart policy wants it, in the same sandbox."""
        self.run = run = self.new_run()
        self._create(run)
        run.want_start()

    def new_run(self) -> Run:
        """Return a run of the streams that are there, nothing of it done."""
        return Run(
            self.loop,
            choose_runtime(self.launch, self.support, self.prepared),
            self.streams,
            on_started=self._started,
            on_failed=self._failed,
        )

    def _started(self, run: Run) -> None:
        self.status = Status.RUNNING
        gc.enable()  # off in the launcher; what came before is frozen and stays shared
        self.next_restart_ns = 0
        facts = {
            "pid": run.runtime.pid,
            "started_ns": run.started_ns,
            "restart_count": self.restart.count,
        }
        self.link.emit("started", facts)
        self.watch(run)
        self.ledger.run_started()
        self.loop.call_after(_LEDGER_DELAY_S, self._settle)
        if self.when_started is not None:
            self.loop.call_after(0, self.when_started)
            self.when_started = None

    def watch(self, run: Run) -> None:
        """Begin to look after a running container's memory and health."""
        self.oom = OomWatch(
            self.loop, run.runtime, lambda count: self.link.emit("oom", {"count": count})
        )
        if self.launch.health is not None:
            self.health = HealthChecker(
                self.loop,
                run.runtime,
                self.launch.health,
                is_paused=lambda: self.status is Status.PAUSED,
                on_result=self._health_result,
            )

    def _failed(self, run: Run | None, error: Exception) -> None:
        """A start failed, what it did is undone. No policy tries again: it would fail again."""
        self.failure = error
        self.status = Status.STOPPED
        facts = describe_error(error)
        self.link.emit("failed", facts)
        if self.last_exit is not None:  # a restart: the run before it ended the container
            self.last_exit["exit_code"] = facts.get("exit_code", 125)
            self._tell_final_exit()
        self._finish([])

    def _settle(self) -> None:
        """The container lives on: keep its ledger, and let the maker go."""
        if self.run is not None and self.status in (Status.RUNNING, Status.PAUSED):
            self._begin_ledger()
            self.run.runtime.settle()

    def _begin_ledger(self) -> None:
        """Begin to write; a full disk must not keep the container from running or ending."""
        if self.run is not None:
            try:
                self.ledger.begin(self.run.runtime, self.sandbox.ledger)
            except OSError as error:
                self.link.emit("log_failed", {"message": f"ledger.json: {error}"})

    def write_ledger(self, more: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
        """Write ledger.json now, or add to it when there is more; return its records."""
        self._settle()
        return self.ledger.add(more)

    # -- the end of a run -----------------------------------------------------------------------

    def _child_ended(self, pid: int, exit_code: int, fatal_signal: int) -> None:
        run = self.run
        if run is not None and pid == run.runtime.pid and self.status is not Status.STOPPED:
            if run.is_started:
                run.runtime.mark_stopped()
                self._run_ended(run, exit_code, fatal_signal)
            else:
                run.ended_early(exit_code)
            return
        if run is not None and pid == run.runtime.maker_pid:
            run.maker_ended()
            return
        if self.execs.child_ended(pid, exit_code):
            self._leave_if_done()
            return
        if self.health is not None and self.health.child_ended(pid, exit_code):
            return
        self.log.child_ended(pid, succeeded=exit_code == 0)  # or else an orphan of the container

    def _run_ended(self, run: Run, exit_code: int, fatal_signal: int) -> None:
        health, self.health = self.health, None
        if health is not None:
            health.close()
        next_restart = decide_restart(
            self.policy,
            self.restart,
            exit_code=exit_code,
            ran_ms=run.ran_ms,
            stopped_by_user=run.stopped_by_user,
            unhealthy=run.is_unhealthy,
        )
        self.last_exit = {
            **run.describe_exit(exit_code, fatal_signal),
            "container_id": self.launch.container_id,
            "oom_killed": self.oom is not None and self.oom.finish() > 0,
            "health": health.tally.to_json() if health else None,
            "restarting": next_restart is not None,
            "restart_count": self.restart.count,
        }
        self.status = Status.STOPPED if next_restart is None else Status.RESTARTING
        # Logged whole before anybody hears of the end; clients get what they have not got yet.
        self.streams.read_rest()
        self._tell_exit(self.last_exit)
        if not self.link.has_engine:
            self.waiters.engine_gone()
        self.streams.process_ended()
        self._ended_streams.append(self.streams)
        # Who attaches from now on gets the next run's output, if there is to be one.
        self.streams = self.new_streams()
        self.execs.end_all()
        self.loop.call_after(0, lambda: self._clean_run(run, next_restart))

    def _tell_exit(self, facts: dict[str, Any]) -> None:
        restarting = bool(facts["restarting"])
        # The engine puts a last exit on the disk, and need not wait for the copy there.
        is_engines = self.link.has_engine and not restarting
        self._keep_exit(facts, records.note_exit)
        if not is_engines:
            self._keep_exit(facts, records.keep_exit)
        self.exit_seq = seq = self.link.emit("exited", facts)
        if is_engines:
            self._keep_exit(facts, records.copy_exit)
        self.waiters.container_ended(seq, int(facts["exit_code"]), restarting=restarting)

    def _keep_exit(self, facts: dict[str, Any], keep: records.KeepExit) -> None:
        try:
            keep(self.launch, facts)
        except OSError as error:  # a full disk: RUN has it, and the engine hears it now
            self.link.emit("log_failed", {"message": f"exit.json could not be kept: {error}"})

    def _clean_run(self, run: Run, next_restart: RestartState | None) -> None:
        if self.launch.durable:
            self._begin_ledger()
        failures = run.runtime.delete()
        if next_restart is None or self.status is Status.STOPPED:
            self._finish(failures)
            return
        self.restart = next_restart
        delay_ms = next_restart.delay_ms
        self.next_restart_ns = time.time_ns() + delay_ms * 1_000_000
        facts = {
            "at_ns": self.next_restart_ns,
            "delay_ms": delay_ms,
            "restart_count": next_restart.count,
        }
        self.link.emit("restarting", facts)
        self._restart_timer = self.loop.call_after(delay_ms / 1000, self._begin_again)

    @property
    def is_made_again(self) -> bool:
        """The policy's next run is in the making: to others the container still restarts."""
        return self.last_exit is not None and self.status in (Status.CREATING, Status.CREATED)

    def cancel_restart(self) -> None:
        """The user stopped a container that waits for its next start: there will be none."""
        if self.status is not Status.RESTARTING:
            return
        self.status = Status.STOPPED
        self._tell_final_exit()
        if self._restart_timer is not None:  # else the clean-up is still to come, and finishes
            self._restart_timer.cancel()
            self._restart_timer = None
            self._finish([])

    def _tell_final_exit(self) -> None:
        """A run was to follow, and does not: the last end was the final one."""
        if self.last_exit is None:
            return
        self.last_exit["restarting"] = False
        self._tell_exit(self.last_exit)

    def _finish(self, failures: list[Exception]) -> None:
        self.sandbox.close()
        for client in tuple(self.streams.clients):
            client.end()  # attached for a run that will not be
        self._log_deadline_s = time.monotonic() + _FULL_DISK_PATIENCE_S
        self._close_log()
        self.link.emit("cleaned", {"failures": [str(failure) for failure in failures]})
        self.is_clean = True
        self.loop.call_after(_FAREWELL_S, lambda: self._leave_if_done(patient=False))
        self._leave_if_done()

    def _close_log(self) -> None:
        """Close the log; wait for a full disk or log daemon: what they lack is in memory only."""
        if not self.log.retry() and time.monotonic() < self._log_deadline_s:
            self.loop.call_after(_LOG_RETRY_S, self._close_log)
            return
        self.log.close()
        self._is_log_closed = True
        self._leave_if_done()

    # -- leaving --------------------------------------------------------------------------------

    def _engine_changed(self) -> None:
        self.waiters.engine_acknowledged(self.link.acknowledged_seq)
        if not self.link.has_engine:
            if self.last_exit is not None and self.link.acknowledged_seq < self.exit_seq:
                self._keep_exit(self.last_exit, records.keep_exit)
            self.waiters.engine_gone()
            run = self.run
            if run is not None and not run.is_start_wanted and self.failure is None:
                run.cancel()  # it died before it asked for the start: nobody else ever will
        self._leave_if_done()

    def _client_gone(self, client: Client, reason: str) -> None:
        if reason != "ended":
            self.link.emit("detached", {"attach_id": client.wishes.name, "reason": reason})
        self._leave_if_done()

    def _leave_if_done(self, *, patient: bool = True) -> None:
        if not self.is_clean or not self._is_log_closed or self.has_clients:
            return
        is_told = self.link.acknowledged_seq >= self.link.last_seq
        if patient and self.link.has_engine and not is_told:
            return
        if not is_told:
            self.save_state()
            self.waiters.engine_gone()
        self.link.close_listener()
        self.loop.stop()

    @property
    def has_clients(self) -> bool:
        """Somebody still has output to get, of this run, an earlier one or an exec."""
        streams = (*self._ended_streams, self.streams)
        return self.execs.has_clients or any(item.clients for item in streams)

    def leave(self) -> bool:
        """Let go of what the end of the process would close; say if nothing went wrong."""
        self.link.close()
        self.waiters.close()
        return self.launch.runtime is None and self.failure is None and not self._has_erred

    def delete(self) -> None:
        """End everything now: the engine wants no more of this container."""
        self._log_deadline_s = 0.0
        for streams in (*self._ended_streams, self.streams):
            for client in tuple(streams.clients):
                client.drop("ended")
        run = self.run
        if self.status is Status.RESTARTING:
            self.cancel_restart()
        elif run is not None and not run.is_started and self.failure is None:
            run.cancel()
        elif run is not None and self.status is not Status.STOPPED:
            run.stopped_by_user = True
            run.note_signal(signal.SIGKILL, "engine")
            run.runtime.kill(signal.SIGKILL)
            self.thaw_for_signal()

    # -- what others ask ------------------------------------------------------------------------

    def _health_result(self, tally: HealthTally, changed: bool) -> None:
        # Nobody hears of each result while there is no engine: the events of exits need the room.
        is_news = self.link.has_engine and tally.failing_streak != self.told_streak
        if changed or is_news:
            self.told_streak = tally.failing_streak
            facts = {"status": tally.status, "failing_streak": tally.failing_streak}
            self.link.emit("health_status", {**facts, "log": tally.log[-1], "changed": changed})
        run = self.run
        is_unhealthy = changed and tally.status == UNHEALTHY
        if is_unhealthy and run is not None and self.policy.name == "on-unhealthy":
            run.is_unhealthy = True
            number = self.launch.stop_signal
            self.link.emit("signalled", {"signal": int(number), "origin": "health"})
            self.stop(number, self.launch.stop_timeout_s, "health")

    def stop(self, signal_number: int, timeout_s: float, origin: str) -> None:
        """Signal PID 1; SIGKILL everything when it has not ended in time."""
        run = self.run
        if run is None:
            return
        run.note_signal(signal_number, origin)
        with contextlib.suppress(OSError):  # ESRCH: it is ending just now
            run.runtime.kill(signal_number)
        self.thaw_for_signal()
        if timeout_s >= 0:
            self.loop.call_after(timeout_s, lambda: self._stop_timed_out(run, origin))

    def _stop_timed_out(self, run: Run, origin: str) -> None:
        if self.run is run and self.status in (Status.RUNNING, Status.PAUSED):
            run.note_signal(signal.SIGKILL, origin)
            self.link.emit("signalled", {"signal": int(signal.SIGKILL), "origin": origin})
            with contextlib.suppress(OSError):
                run.runtime.kill(signal.SIGKILL)
            self.thaw_for_signal()

    def thaw_for_signal(self) -> None:
        """A frozen process acts on no signal: let a paused container go on, to end."""
        if self.status is Status.PAUSED and self.run is not None:
            self.run.runtime.thaw()
            self.status = Status.RUNNING
            self.link.emit("resumed", {})

    def save_state(self) -> None:
        """Write state.json, for an engine that will find no shim."""
        state = {**take_snapshot(self), "unacknowledged": self.link.unacknowledged()}
        records.write_state(self.launch.bundle, state)

    def _report(self, error: Exception) -> None:
        """Keep an unexpected error: in shim.log of the bundle, and as an event."""
        self._has_erred = True
        records.append_error(self.launch.bundle, error)
        self.link.emit("log_failed", {"message": f"shim: {type(error).__name__}: {error}"})
