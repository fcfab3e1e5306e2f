"""``exec``."""

import time
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.creating.body import console_size, read_environment
from cutaway.cli.exit_codes import start_failure_code
from cutaway.cli.flags import PlainFailure, UsageError, Values
from cutaway.cli.screen.attached import detach_keys
from cutaway.cli.screen.terminal import (
    RawTerminal,
    Session,
    parse_detach_keys,
    refuse_without_terminal,
    terminal_size,
    warn,
)
from cutaway.client import ApiError
from cutaway.client.http import quote

RESIZE_TRIES = 10
RESIZE_PAUSE_S = 0.02

EXEC_FLAGS = """
-d, --detach               Detached mode: run command in the background
    --detach-keys string   Override the key sequence for detaching a container
-e, --env list             Set environment variables
    --env-file list        Read in a file of environment variables
-i, --interactive          Keep STDIN open even if not attached
    --privileged           Give extended privileges to the command
-t, --tty                  Allocate a pseudo-TTY
-u, --user string          Username or UID (format: "<name|uid>[:<group|gid>]")
-w, --workdir string       Working directory inside the container
"""


def run_exec(context: Context, flags: Values, arguments: list[str]) -> int:
    """Run a command in a running container and return its exit code."""
    detach, tty = flags["detach"], flags["tty"]
    stdin = flags["interactive"] and not detach
    if not detach:
        refuse_without_terminal(tty=tty, stdin=stdin)
    client = context.client
    body = _body(flags, arguments, stdin=stdin)
    created = client.post(f"/containers/{quote(arguments[0])}/exec", body)
    exec_id = created["Id"]
    start: dict[str, Any] = {"Detach": detach, "Tty": tty}
    if tty:
        start["ConsoleSize"] = console_size()
    if detach:
        client.post(f"/exec/{exec_id}/start", start)
        return 0
    try:
        stream = client.hijack(f"/exec/{exec_id}/start", body=start)
    except ApiError as error:
        warn(str(error) if "exec failed" in str(error) else f"Error response from daemon: {error}")
        return _exit_code(context, exec_id) or start_failure_code(str(error))

    def resize(rows: int, columns: int) -> None:
        size = {"h": rows, "w": columns}
        for _ in range(RESIZE_TRIES):  # the process may not run yet
            response = client.send("POST", f"/exec/{exec_id}/resize", query=size)
            response.close()
            if response.status < 400:
                return
            time.sleep(RESIZE_PAUSE_S)

    keys = parse_detach_keys(detach_keys(context, flags))
    session = Session(
        stream,
        tty=tty,
        stdin=stdin,
        detach_keys=keys if stdin else b"",
        on_resize=resize if tty else None,
    )
    size = terminal_size()
    if tty and size:
        resize(*size)
    with RawTerminal(wanted=tty and stdin):
        session.run()
    if session.detached:
        raise PlainFailure("read escape sequence")
    return _exit_code(context, exec_id)


def _exit_code(context: Context, exec_id: str) -> int:
    return int(context.client.get(f"/exec/{exec_id}/json").get("ExitCode") or 0)


def _body(flags: Values, arguments: list[str], *, stdin: bool) -> dict[str, Any]:
    if not arguments[1]:
        raise UsageError("the command must not be empty")
    return {
        "User": flags["user"],
        "Privileged": flags["privileged"],
        "Tty": flags["tty"],
        "AttachStdin": stdin,
        "AttachStdout": not flags["detach"],
        "AttachStderr": not flags["detach"],
        "DetachKeys": flags["detach-keys"],
        "Env": read_environment(flags["env-file"], flags["env"]) or None,
        "WorkingDir": flags["workdir"],
        "Cmd": arguments[1:],
    }


COMMANDS = (
    Command(
        "exec",
        "[OPTIONS] CONTAINER COMMAND [ARG...]",
        "Execute a command in a running container",
        run_exec,
        flags=EXEC_FLAGS,
        at_least=2,
        interspersed=False,
        aliases=("container exec",),
    ),
)
