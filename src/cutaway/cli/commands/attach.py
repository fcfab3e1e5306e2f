"""``attach``."""

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import PlainFailure, UsageError, Values
from cutaway.cli.screen.attached import detach_keys, exit_status, stay_attached
from cutaway.cli.screen.terminal import parse_detach_keys, refuse_without_terminal
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
    code = attach_session(
        context,
        state["Id"],
        tty=state["Config"]["Tty"],
        stdin=stdin,
        keys=detach_keys(context, flags),
        sig_proxy=flags["sig-proxy"],
    )
    if code is None:
        raise PlainFailure("read escape sequence")
    return code


def attach_session(
    context: Context,
    container_id: str,
    *,
    tty: bool,
    stdin: bool,
    keys: str,
    sig_proxy: bool,
    start: bool = False,
) -> int | None:
    """Attach, optionally start, and copy until the end.

    Returns:
        The container's exit code; None when the user detached.
    """
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

    ended = stay_attached(
        context, container_id, stream, tty=tty, keys=parsed, stdin=stdin, sig_proxy=sig_proxy
    )
    return exit_status(waiting) if ended else None


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
