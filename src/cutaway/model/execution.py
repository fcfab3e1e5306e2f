"""A further process in a running container (``docker exec``).

Made in two requests, as in Docker: create (which command) and start (attach to it).

Source: Engine API groups "Exec".
"""

from cutaway.model.base import Int64, Model, Uint32, always, named


class ExecConfig(Model):
    """Which process to run in a container.

    Attributes:
        user: as in ``ContainerConfig``; empty: the container's.
        privileged: all capabilities of this engine, no seccomp filter.
        console_size: height, width; only with ``tty``.
        detach_keys: such as ``ctrl-p,ctrl-q``; empty: the engine's.
        env: added to the container's.
        working_dir: empty: the container's.
    """

    user: str = ""
    privileged: bool = False
    tty: bool = False
    console_size: tuple[Uint32, Uint32] | None = None
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach: bool = False
    detach_keys: str = ""
    env: tuple[str, ...] | None = None
    working_dir: str = ""
    cmd: tuple[str, ...] | None = None


class ExecStartConfig(Model):
    """How to start a created exec; ``tty`` must repeat what create said."""

    detach: bool = False
    tty: bool = False
    console_size: tuple[Uint32, Uint32] | None = None


class ExecProcessConfig(Model):
    """The process of an exec; Docker writes these names in lower case."""

    tty: bool = always(False, name="tty")
    entrypoint: str = always("", name="entrypoint")
    arguments: tuple[str, ...] = always((), name="arguments")
    privileged: bool | None = named(None, name="privileged")
    user: str = named("", name="user")


class ExecInspect(Model):
    """An exec as ``GET /exec/ID/json`` tells it.

    Attributes:
        exit_code: None until it has exited.
        can_remove: nobody is attached any more.
        detach_keys: base64 of the key bytes.
        pid: in the host's PID namespace; 0 before it was started.
    """

    id: str = always("", name="ID")
    running: bool = always(False)
    exit_code: Int64 | None = always(None)
    process_config: ExecProcessConfig = always(ExecProcessConfig())
    open_stdin: bool = always(False)
    open_stderr: bool = always(False)
    open_stdout: bool = always(False)
    can_remove: bool = always(False)
    container_id: str = always("", name="ContainerID")
    detach_keys: str = always("")
    pid: Int64 = always(0)
