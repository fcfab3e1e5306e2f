"""This terminal and a container: joined until the container ends or the user leaves."""

from cutaway.cli.command import Context
from cutaway.cli.flags import Values
from cutaway.cli.screen.terminal import DEFAULT_DETACH_KEYS, RawTerminal, Session, terminal_size
from cutaway.client import ApiError, Hijacked, Response


def detach_keys(context: Context, flags: Values) -> str:
    """Return the keys that leave a container running: the flag's, the configuration's, docker's."""
    chosen = flags["detach-keys"] or context.config.get("detachKeys") or DEFAULT_DETACH_KEYS
    return str(chosen)


def stay_attached(
    context: Context,
    container_id: str,
    stream: Hijacked,
    *,
    tty: bool,
    keys: bytes,
    stdin: bool,
    sig_proxy: bool,
) -> bool:
    """Copy between this terminal and a container until its end; False when the user detached.

    Args:
        context: of the command.
        container_id: whose terminal follows this one's size, and who gets this process's signals.
        stream: of its attachment.
        tty: it has a terminal.
        keys: what leaves it running.
        stdin: it listens.
        sig_proxy: without a terminal, signals go to the container.
    """
    path = f"/containers/{container_id}"

    def resize(rows: int, columns: int) -> None:
        context.client.send("POST", f"{path}/resize", query={"h": rows, "w": columns}).close()

    def forward(number: int) -> None:
        context.client.send("POST", f"{path}/kill", query={"signal": number}).close()

    size = terminal_size()
    if tty and size:
        resize(*size)
    session = Session(
        stream,
        tty=tty,
        stdin=stdin,
        detach_keys=keys if stdin else b"",
        on_signal=forward if sig_proxy and not tty else None,
        on_resize=resize if tty else None,
    )
    with RawTerminal(wanted=tty and stdin):
        session.run()
    return not session.detached


def exit_status(waiting: Response) -> int:
    """Read the answer of ``wait``: the container's exit code.

    Raises:
        ApiError: the engine could not tell.
    """
    answer = waiting.json() or {}
    problem = (answer.get("Error") or {}).get("Message")
    if problem:
        raise ApiError(500, problem)
    return int(answer.get("StatusCode", 0)) & 0xFF
