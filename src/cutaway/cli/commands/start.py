"""``start``."""

from cutaway.cli.command import Command, Context
from cutaway.cli.commands.attach import attach_session
from cutaway.cli.commands.lifecycle import for_each
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.attached import detach_keys
from cutaway.client.http import quote

START_FLAGS = """
-a, --attach               Attach STDOUT/STDERR and forward signals
    --detach-keys string   Override the key sequence for detaching a container
-i, --interactive          Attach container's STDIN
    --checkpoint string        (hidden) Restore from this checkpoint
    --checkpoint-dir string    (hidden) Use a custom checkpoint storage directory
"""


def start(context: Context, flags: Values, arguments: list[str]) -> int:
    """Start containers; with ``--attach`` one, whose exit code is returned."""
    if flags["checkpoint"] or flags["checkpoint-dir"]:
        raise UsageError("checkpoints are not supported: this engine can't freeze into files")
    if not (flags["attach"] or flags["interactive"]):
        return for_each(
            arguments,
            lambda name: context.client.post(f"/containers/{quote(name)}/start"),
            what="start",
        )
    if len(arguments) > 1:
        raise UsageError("you cannot start and attach multiple containers at once")
    state = context.client.get(f"/containers/{quote(arguments[0])}/json")
    code = attach_session(
        context,
        state["Id"],
        tty=state["Config"]["Tty"],
        stdin=flags["interactive"] and state["Config"]["OpenStdin"],
        keys=detach_keys(context, flags),
        sig_proxy=True,
        start=True,
    )
    return code or 0


COMMANDS = (
    Command(
        "start",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Start one or more stopped containers",
        start,
        flags=START_FLAGS,
        at_least=1,
        aliases=("container start",),
    ),
)
