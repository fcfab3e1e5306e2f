"""``docker exec``: further processes in a running container. Fits ``api``'s ``ExecBackend``."""

import base64
import logging
import os
import secrets
import shlex
import struct
from contextlib import suppress

from cutaway.engine.container import Container, Exec
from cutaway.engine.containers.stopping import NotRunning, live_shim
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Status
from cutaway.engine.links import ShimFailed, ShimLost
from cutaway.engine.output.attaching import DEFAULT_DETACH_KEYS, check_detach_keys
from cutaway.engine.running.processes import exec_process
from cutaway.engine.validate.container import check_environment_entry, validate_user
from cutaway.errors import Conflict, InvalidParameter, NotFound
from cutaway.model import (
    ExecConfig,
    ExecInspect,
    ExecProcessConfig,
    ExecStartConfig,
    HijackedConnection,
    Upgrade,
)
from cutaway.shim import protocol

log = logging.getLogger(__name__)
_STDERR = 2


class NoSuchExec(NotFound):
    """No exec has this id; those of removed containers are forgotten."""

    def __init__(self, identifier: str) -> None:
        super().__init__(f"No such exec instance: {identifier}")


class ExecService:
    """The exec operations of one engine."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(self, reference: str, config: ExecConfig) -> str:
        """Note which process to run.

        Raises:
            Conflict: the container does not run. InvalidParameter: there is no command.
        """
        container = self._core.containers.find(reference)
        check_runs(container)
        if not config.cmd:
            raise InvalidParameter("No exec command specified")
        if config.working_dir and not config.working_dir.startswith("/"):
            raise InvalidParameter(f"Cwd must be an absolute path: {config.working_dir}")
        for entry in config.env or ():
            check_environment_entry(entry)
        validate_user(config.user)
        check_detach_keys(config.detach_keys)
        identifier = secrets.token_hex(32)
        container.execs[identifier] = Exec(identifier, container.id, config)
        self._tell(container, "exec_create", container.execs[identifier])
        return identifier

    def _tell(self, container: Container, action: str, process: Exec) -> None:
        command = shlex.join(process.config.cmd)
        self._core.commit(container, told=[(f"{action}: {command}", {"execID": process.id})])

    def _find(self, identifier: str) -> tuple[Container, Exec]:
        for container in self._core.containers:
            if identifier in container.execs:
                return container, container.execs[identifier]
        raise NoSuchExec(identifier)

    async def start(self, exec_id: str, options: ExecStartConfig, upgrade: Upgrade) -> None:
        """Run it, joined to the client's connection unless ``detach``.

        Raises:
            NoSuchExec, Conflict: see ``ExecBackend.start``. ShimRefused: a detached one could
                not be executed.
        """
        container, process = self._find(exec_id)
        if process.started:
            happened = "is already running" if process.running else "has already run"
            raise Conflict(f"exec command {exec_id} {happened}")
        check_runs(container)
        config: ExecConfig = process.config
        process.started = process.running = True
        connection = None if options.detach else await upgrade(tty=config.tty and options.tty)
        self._tell(container, "exec_start", process)
        try:
            await self._run(container, process, options, connection)
        finally:
            if connection is not None:
                os.close(connection.fd)

    async def _run(
        self,
        container: Container,
        process: Exec,
        options: ExecStartConfig,
        connection: HijackedConnection | None,
    ) -> None:
        request = self._request(container, process, options, connection)
        fds = () if connection is None else (connection.fd,)
        try:
            result = await live_shim(container).request(request, fds)
            process.pid = int(result["pid"])
        except (ShimFailed, ShimLost, NotRunning) as error:
            process.running = False
            process.exit_code = getattr(error, "exit_code", 126)
            if process.exit_code not in (126, 127):
                process.exit_code = 126
            if connection is None:
                raise
            _write_error(connection.fd, str(error), tty=process.config.tty and options.tty)

    def _request(
        self,
        container: Container,
        process: Exec,
        options: ExecStartConfig,
        connection: HijackedConnection | None,
    ) -> protocol.Exec:
        config: ExecConfig = process.config
        height, width = options.console_size or config.console_size or (0, 0)
        return protocol.Exec(
            process.id,
            exec_process(self._core, container, config).to_json(),
            stdin=config.attach_stdin and connection is not None,
            stdout=config.attach_stdout,
            stderr=config.attach_stderr,
            detach_keys=config.detach_keys or DEFAULT_DETACH_KEYS,
            early_input=base64.b64encode(connection.unread if connection else b"").decode(),
            console_width=width,
            console_height=height,
            user=config.user or container.config.user,
            # Docker frames by what the start says, not by the process's own terminal.
            framed=not (config.tty and options.tty),
            groups=() if config.user else tuple(container.host_config.group_add or ()),
        )

    async def resize(self, exec_id: str, *, height: int, width: int) -> None:
        """Set the terminal's size.

        Raises:
            NoSuchExec, Conflict: it does not run.
        """
        container, process = self._find(exec_id)
        if not process.running:
            raise Conflict(f"exec {exec_id} is not running")
        await live_shim(container).request(
            protocol.Resize(width=width, height=height, exec_id=exec_id)
        )

    async def inspect(self, exec_id: str) -> ExecInspect:
        """Tell all about it."""
        container, process = self._find(exec_id)
        if process.running and container.shim is not None:
            # The client has seen its stream end: the exit, sent before, is in the socket.
            container.shim.poll()
        config: ExecConfig = process.config
        program, *arguments = config.cmd or ("",)
        return ExecInspect(
            id=process.id,
            running=process.running,
            exit_code=process.exit_code,
            process_config=ExecProcessConfig(
                tty=config.tty,
                entrypoint=program,
                arguments=tuple(arguments),
                privileged=config.privileged,
                user=config.user,
            ),
            open_stdin=config.attach_stdin,
            open_stdout=config.attach_stdout,
            open_stderr=config.attach_stderr,
            container_id=container.id,
            detach_keys=base64.b64encode(config.detach_keys.encode()).decode(),
            pid=process.pid,
        )


def check_runs(container: Container) -> None:
    """See that a container can be entered.

    Raises:
        Conflict: in Docker's words.
    """
    status = container.state.status
    if status is Status.PAUSED:
        raise Conflict(f"Container {container.name} is paused, unpause the container before exec")
    if status is Status.RESTARTING:
        raise Conflict(
            f"Container {container.id} is restarting, wait until the container is running"
        )
    if status is not Status.RUNNING:
        raise NotRunning(container.id)


def _write_error(fd: int, text: str, *, tty: bool) -> None:
    """Tell a client whose connection speaks no HTTP any more why its process did not run."""
    data = f"{text}\r\n".encode()
    frame = data if tty else struct.pack(">BxxxL", _STDERR, len(data)) + data
    with suppress(OSError):
        os.write(fd, frame)
