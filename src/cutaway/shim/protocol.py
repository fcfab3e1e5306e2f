"""The messages between the engine, the launcher and the shims, as one table.

Transport (``wire.py``): AF_UNIX SOCK_SEQPACKET, one JSON object a packet, descriptors by
SCM_RIGHTS. ``type`` names the message, ``id`` joins a reply to its request. Big packets travel as
a memfd. Times are nanoseconds since 1970 (CLOCK_REALTIME), so that a later engine can read them.

Engine → launcher (over a socketpair inherited at the launcher's start; EOF ends the launcher)

    request      descriptors   reply
    launch       control       {"pid": keeper}   ``control`` leads to the shim's first engine
    ping         –             {"pid": launcher, "modules": n}

Launcher → engine: event ``shim_exited`` when a shim has left its container: its process ended,
however it ended, or is free for another container.

Engine → shim (over ``control``, or a later connection to RUN/containers/ID/shim.sock)

    request      descriptors     reply
    hello        –               snapshot; the sandbox's netns (when it has one of its own)
    make         –               {}; the sandbox's netns: configure its network now
    start        –               {"pid": …, "started_ns": …} once the program runs, else an error
    attach       client          {}             the shim now speaks on the client's socket
    exec         [client]        {"pid": …}     likewise for the process of an exec
    exec_inspect –               {"running": …, "exit_code": …, "pid": …}
    resize       –               {}
    kill         –               {}             one signal, noted with its origin
    stop         –               {}             signal, wait, SIGKILL; the reply comes at once
    pause/resume –               {}
    update       –               {}             limits and restart policy of a live container
    wait         client          {}             the shim answers for an engine that has died
    stats        –               cgroup statistics
    processes    –               {"pids": [host pids]}
    health       –               {"status": …, "failing_streak": …, "log": […]}
    ledger       –               {"records": …} what was done to the host, written by now
    delete       –               {}             end now: kill what runs, clean up, leave
    acknowledge  –               no reply       events up to ``seq`` are safe with the engine

Shim → engine: events, each with ``seq`` (counts from 1 in the shim's life) and ``time_ns``. What
was not acknowledged is sent again to the next engine that says ``hello``.

    event          descriptors  when
    started        –            PID 1 runs the container's program
    failed         –            a start failed, everything of that run is undone
    exited         –            PID 1 ended; exit.json is written
    restarting     –            the restart policy will start it again at ``at_ns``
    cleaned        –            nothing of the container is left on the host; the shim ends next
    exec_started, exec_exited   a process beside PID 1
    paused, resumed, updated, oom, signalled, health_status, detached, log_failed
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from cutaway.shim.documents import Document as Document
from cutaway.shim.documents import ExternalRuntime as ExternalRuntime
from cutaway.shim.documents import HealthCheck as HealthCheck
from cutaway.shim.documents import LogSettings as LogSettings
from cutaway.shim.documents import LogSink as LogSink
from cutaway.shim.documents import ProtocolError as ProtocolError
from cutaway.shim.documents import RestartPolicy as RestartPolicy
from cutaway.shim.documents import nested


class Status(StrEnum):
    """The life of one container in its shim. ``shim.py`` holds the transition table."""

    LAUNCHED = "launched"  # the bundle is still to be written
    CREATING = "creating"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"  # the last run ended, the next is waiting for its time
    STOPPED = "stopped"


# -- messages ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message(Document):
    """Anything with a ``type``; the class variable is its name on the wire."""

    type: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Launch(Message):
    """Have a shim for one container. It prepares itself until ``make`` comes.

    Attributes:
        bundle: ``RUN/containers/ID``: a directory, the OCI bundle to be, and where shim.sock,
            state.json and the fast copy of exit.json appear.
        directory: ``ROOT/containers/ID``: log, ledger.json and the durable exit.json.
        stdin_open: the container's stdin is a pipe (or the pty) and not /dev/null.
        stdin_once: the first attached client's end of input closes stdin for good.
        durable: exit.json and ledger.json are fsynced; False for ``--rm``.
        health: None without health check.
        runtime: None for the built-in one.
        network: ``own`` (config.json wants a new network namespace), ``init`` (likewise, in a new
            user namespace too), ``joined`` (the host's or another's).
        terminal: as ``process.terminal`` in config.json.
    """

    type: ClassVar[str] = "launch"
    container_id: str
    bundle: str
    directory: str
    stdin_open: bool = False
    stdin_once: bool = False
    durable: bool = True
    stop_signal: int = 15
    stop_timeout_s: float = 10.0
    console_width: int = 0
    console_height: int = 0
    log: LogSettings | None = nested(LogSettings)
    restart: RestartPolicy | None = nested(RestartPolicy)
    health: HealthCheck | None = nested(HealthCheck)
    runtime: ExternalRuntime | None = nested(ExternalRuntime)
    restart_count: int = 0
    network: str = "own"
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class Ping(Message):
    """Ask whether the peer lives."""

    type: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """Become the shim's engine. Events after ``after_seq`` are sent again behind the reply."""

    type: ClassVar[str] = "hello"
    after_seq: int = 0


@dataclass(frozen=True, slots=True)
class Make(Message):
    """Make the container, whose bundle now holds config.json (and rootfs.json).

    An engine that dies before it said so never will: the shim ends. What the restart policy
    starts is made of the bundle as it is then.
    """

    type: ClassVar[str] = "make"


@dataclass(frozen=True, slots=True)
class Start(Message):
    """Let PID 1 run its program.

    Attributes:
        ledger: the engine's own records (network steps), merged into ledger.json by time.
    """

    type: ClassVar[str] = "start"
    ledger: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Attach(Message):
    """Join a client's socket (the descriptor sent along) to the container's streams.

    The HTTP answer is already written. Output is Docker's stdcopy frames, or raw bytes when the
    container has a terminal.

    Attributes:
        attach_id: chosen by the engine; comes back in ``detached``.
        early_input: bytes that the engine read behind the request's head, base64.
        logs: send what the log holds first (the API's ``logs=1``).
        stream: go on with live output; without it the connection ends after the log.
        detach_keys: ``ctrl-p,ctrl-q`` style; empty string switches detaching off.
    """

    type: ClassVar[str] = "attach"
    attach_id: str
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    logs: bool = False
    stream: bool = True
    detach_keys: str = "ctrl-p,ctrl-q"
    early_input: str = ""


@dataclass(frozen=True, slots=True)
class Exec(Message):
    """Run one more process in the container; a client's socket may come along.

    Attributes:
        process: the runtime-spec ``process`` object; ``terminal`` in it decides about a pty.
        user, groups: Docker's words for them, looked up in the container (as in rootfs.json);
            empty: as ``process.user`` says.
        framed: output as stdcopy frames; None: when there is no terminal.
        stdin, stdout, stderr: which streams the client's socket carries; without a descriptor
            the output is thrown away and stdin is /dev/null.
    """

    type: ClassVar[str] = "exec"
    exec_id: str
    process: dict[str, Any]
    user: str = ""
    groups: tuple[str, ...] = ()
    framed: bool | None = None
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    detach_keys: str = "ctrl-p,ctrl-q"
    early_input: str = ""
    console_width: int = 0
    console_height: int = 0


@dataclass(frozen=True, slots=True)
class ExecInspect(Message):
    """Ask for an exec's state; known until the container's end."""

    type: ClassVar[str] = "exec_inspect"
    exec_id: str


@dataclass(frozen=True, slots=True)
class Resize(Message):
    """Set the size of the container's terminal, or of an exec's."""

    type: ClassVar[str] = "resize"
    width: int
    height: int
    exec_id: str = ""


@dataclass(frozen=True, slots=True)
class Kill(Message):
    """Send a signal to PID 1 (or an exec's process) and note who asked.

    Attributes:
        origin: ``user``, ``stop``, ``remove``, ``engine``, ``health``; part of the exit record.
        by_user: the restart policy must not start the container again (``docker kill``/``stop``).
    """

    type: ClassVar[str] = "kill"
    signal: int
    exec_id: str = ""
    origin: str = "user"
    by_user: bool = False


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """Signal PID 1, give it ``timeout_s``, then SIGKILL; goes on when the engine dies.

    Attributes:
        timeout_s: negative waits for ever; None is the container's own ``stop_timeout_s``.
    """

    type: ClassVar[str] = "stop"
    signal: int | None = None
    timeout_s: float | None = None
    origin: str = "stop"


@dataclass(frozen=True, slots=True)
class Pause(Message):
    """Freeze every process of the container."""

    type: ClassVar[str] = "pause"


@dataclass(frozen=True, slots=True)
class Resume(Message):
    """Let a paused container go on."""

    type: ClassVar[str] = "resume"


@dataclass(frozen=True, slots=True)
class Update(Message):
    """Change limits (runtime-spec ``linux.resources``) or the restart policy while it runs."""

    type: ClassVar[str] = "update"
    resources: dict[str, Any] | None = None
    restart: RestartPolicy | None = nested(RestartPolicy)


@dataclass(frozen=True, slots=True)
class Wait(Message):
    """Keep a client's pending ``POST /wait`` connection, to answer it should the engine be gone.

    Attributes:
        condition: ``not-running``, ``next-exit`` or ``removed``.
        template: base64 of the bytes to write, with one place for the exit code as ``%`` formats
            it (``%d``, ``%3d``).
    """

    type: ClassVar[str] = "wait"
    condition: str = "not-running"
    template: str = ""


@dataclass(frozen=True, slots=True)
class Stats(Message):
    """Ask for the container's cgroup statistics."""

    type: ClassVar[str] = "stats"


@dataclass(frozen=True, slots=True)
class Processes(Message):
    """Ask for the host process ids in the container's cgroup."""

    type: ClassVar[str] = "processes"


@dataclass(frozen=True, slots=True)
class Health(Message):
    """Ask for the health check's state and kept results."""

    type: ClassVar[str] = "health"


@dataclass(frozen=True, slots=True)
class Ledger(Message):
    """Ask for the records of the current run, and have ledger.json written at once.

    Attributes:
        more: what the engine did to the running container, to be added.
    """

    type: ClassVar[str] = "ledger"

    more: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Delete(Message):
    """Kill what still runs, clean up and end."""

    type: ClassVar[str] = "delete"


@dataclass(frozen=True, slots=True)
class Acknowledge(Message):
    """Events up to ``seq`` are safe with the engine: forget them. Has no reply."""

    type: ClassVar[str] = "acknowledge"
    seq: int


@dataclass(frozen=True, slots=True)
class Reply(Message):
    """The answer to the request with the same ``id``: a result, or an error.

    Attributes:
        result: the JSON object of the table above.
        error: None, or ``{"category", "message", "stage", "errno", "hint"}``; ``category`` is a
            class name of ``cutaway.errors``.
    """

    type: ClassVar[str] = "reply"
    id: int
    result: Any = None
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Event(Message):
    """Something that happened: ``name`` and its facts.

    ========= ======================================================================
    started   ``pid``, ``started_ns``, ``restart_count``
    failed    ``stage``, ``errno``, ``message``, ``hint``, ``exit_code`` (125/126/127)
    exited    ``exit_code`` (128+n for signals), ``signal``, ``oom_killed``, ``exited_ns``,
              ``started_ns``, ``signals`` (list of {signal, origin, time_ns, ends}), ``restarting``,
              ``health`` (as the reply of ``health``, null without a check)
    restarting ``at_ns``, ``restart_count``, ``delay_ms``
    cleaned   ``failures``: sentences, empty when nothing is left
    exec_started ``exec_id``, ``pid``
    exec_exited  ``exec_id``, ``pid``, ``exit_code``
    oom       ``count``: kills in this run so far
    signalled ``signal``, ``origin``: the shim sent one of its own accord
    health_status ``status``, ``failing_streak``, ``log`` (the newest result), ``changed``
    detached  ``attach_id``, ``reason``: ``keys``, ``closed``, ``stalled`` or ``ended``
    log_failed ``message``
    shim_exited (launcher) ``container_id``, ``pid``, ``exit_code``, ``signal``
    ========= ======================================================================
    """

    type: ClassVar[str] = "event"
    name: str
    seq: int = 0
    time_ns: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


MESSAGES: dict[str, type[Message]] = {
    kind.type: kind
    for kind in (
        *(Launch, Ping, Hello, Make, Start, Attach, Exec, ExecInspect, Resize, Kill, Stop),
        *(Pause, Resume, Update, Wait, Stats, Processes, Health, Ledger, Delete, Acknowledge),
        *(Reply, Event),
    )
}  # fmt: skip


for _kind in MESSAGES.values():
    Document.prepare(_kind)


def encode(message: Message, request_id: int | None = None) -> dict[str, Any]:
    """Return the JSON object of a message; requests get their ``id``."""
    document = message.to_json()
    document["type"] = message.type
    if request_id is not None:
        document["id"] = request_id
    return document


def decode(document: Any) -> tuple[Message, int]:
    """Return the message of a JSON object and its request id (0 when it is no request).

    Raises:
        ProtocolError: no object, an unknown type, or a missing field.
    """
    if not isinstance(document, dict):
        raise ProtocolError("a message must be a JSON object")
    kind = MESSAGES.get(str(document.get("type")))
    if kind is None:
        raise ProtocolError(f"unknown message type {document.get('type')!r}")
    request_id = document.get("id", 0)
    if not isinstance(request_id, int):
        raise ProtocolError("the request id must be a number")
    message: Message = kind.from_json(document)
    return message, request_id
