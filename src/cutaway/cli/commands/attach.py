"""``attach``."""

from cutaway.cli.command import Command, Context
from cutaway.cli.commands.run import exit_status
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.terminal import (
    DEFAULT_DETACH_KEYS,
    RawTerminal,
    Session,
    parse_detach_keys,
    refuse_without_terminal,
    terminal_size,
)
from cutaway.client.http import quote

ATTACH_FLAGS = """
    --detach-keys string   Override the key sequence for detaching a container
    --no-stdin             Do not attach STDIN
    --sig-proxy            Proxy all received signals to the process (default true)
"""


def attach(context: Context, flags: Values, arguments: list[str]) -> int:
    """Attach to a running container and return its exit code when it ends."""
    state = context.client.get(f"/containers/{quote(arguments[0])}/json")
    if not state["State"]["Running"]:
        raise UsageError("You cannot attach to a stopped container, start it first")
    if state["State"].get("Paused"):
        raise UsageError("You cannot attach to a paused container, unpause it first")
    if state["State"].get("Restarting"):
        raise UsageError("You cannot attach to a restarting container, wait until it is running")
    stdin = not flags["no-stdin"] and state["Config"]["OpenStdin"]
    return attach_session(
        context,
        state["Id"],
        tty=state["Config"]["Tty"],
        stdin=stdin,
        keys=flags["detach-keys"] or DEFAULT_DETACH_KEYS,
        sig_proxy=flags["sig-proxy"],
    )


def attach_session(
    context: Context,
    container_id: str,
    *,
    tty: bool,
    stdin: bool,
    keys: str,
    sig_proxy: bool,
    start: bool = False,
) -> int:
    """Attach, optionally start, and copy until the end; returns the container's exit code."""
    refuse_without_terminal(tty=tty, stdin=stdin)
    client = context.client
    parsed = parse_detach_keys(keys)
    path = f"/containers/{container_id}"
    query = {"stream": True, "stdin": stdin or None, "stdout": True, "stderr": True}
    stream = client.hijack(f"{path}/attach", query={**query, "detachKeys": keys})
    condition = "next-exit" if start else "not-running"
    waiting = client.request("POST", f"{path}/wait", query={"condition": condition})
    if start:
        client.request("POST", f"{path}/start").close()

    def resize(rows: int, columns: int) -> None:
        client.send("POST", f"{path}/resize", query={"h": rows, "w": columns}).close()

    def forward(number: int) -> None:
        client.send("POST", f"{path}/kill", query={"signal": number}).close()

    size = terminal_size()
    if tty and size:
        resize(*size)
    session = Session(
        stream,
        tty=tty,
        stdin=stdin,
        detach_keys=parsed if stdin else b"",
        on_signal=forward if sig_proxy and not tty else None,
        on_resize=resize if tty else None,
    )
    with RawTerminal(wanted=tty and stdin):
        session.run()
    return 0 if session.detached else exit_status(waiting)


COMMANDS = (
    Command(
        "attach",
        "[OPTIONS] CONTAINER",
        "Attach local standard input, output, and error streams to a running container",
        attach,
        flags=ATTACH_FLAGS,
        at_least=1,
        at_most=1,
        aliases=("container attach",),
    ),
)
