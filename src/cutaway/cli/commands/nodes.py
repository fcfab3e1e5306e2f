"""``nodes``: many hosts on this machine, each with an engine."""

import os
import sys
from typing import NoReturn

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import Values


def nodes(context: Context, flags: Values, arguments: list[str]) -> NoReturn:
    """Replace this process by the one that makes and holds the nodes."""
    words = [sys.executable, "-I", "-m", "cutaway.nodes", arguments[0], flags["directory"]]
    os.execv(sys.executable, [*words, *flags["engine-flag"]])


COMMANDS = (
    Command(
        "nodes",
        "[OPTIONS] N",
        "Make N hosts in network namespaces joined by a wire, each with an engine and its socket",
        nodes,
        flags="""
    --directory string   Where the nodes keep their data (default: a new directory below /tmp)
    --engine-flag list   A flag for every engine
""",
        details="They live until the command ends; nothing of them reaches the machine's network.",
        at_least=1,
        at_most=1,
    ),
)
