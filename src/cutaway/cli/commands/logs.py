"""``logs``."""

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import Values
from cutaway.cli.screen.terminal import write_all
from cutaway.cli.when import parse_moment
from cutaway.client.http import quote
from cutaway.client.streams import STDERR, split_frames

LOGS_FLAGS = """
    --details        Show extra details provided to logs
-f, --follow         Follow log output
    --since string   Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
-n, --tail string    Number of lines to show from the end of the logs (default "all")
-t, --timestamps     Show timestamps
    --until string   Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
"""  # noqa: E501 - one flag a line


def logs(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print what a container has written, each stream to its own."""
    client = context.client
    state = client.get(f"/containers/{quote(arguments[0])}/json")
    response = client.request(
        "GET",
        f"/containers/{state['Id']}/logs",
        query={
            "stdout": True,
            "stderr": True,
            "details": flags["details"] or None,
            "follow": flags["follow"] or None,
            "since": parse_moment(flags["since"], flag="since") if flags["since"] else None,
            "until": parse_moment(flags["until"], flag="until") if flags["until"] else None,
            "tail": flags["tail"],
            "timestamps": flags["timestamps"] or None,
        },
    )
    if state["Config"]["Tty"]:
        for chunk in response.chunks():
            write_all(1, chunk)
        return 0
    for stream, payload in split_frames(response.chunks()):
        write_all(2 if stream == STDERR else 1, payload)
    return 0


COMMANDS = (
    Command(
        "logs",
        "[OPTIONS] CONTAINER",
        "Fetch the logs of a container",
        logs,
        flags=LOGS_FLAGS,
        at_least=1,
        at_most=1,
        aliases=("container logs",),
    ),
)
