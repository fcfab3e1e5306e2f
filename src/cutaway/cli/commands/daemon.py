"""``daemon``: the engine in the foreground."""

import os
import sys
from typing import NoReturn

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import Values


def daemon(context: Context, flags: Values, arguments: list[str]) -> NoReturn:
    """Replace this process by ``cutawayd`` with the same arguments."""
    words = [sys.executable, "-I", "-c", "from cutaway.daemon import main; main()", *arguments]
    os.execv(sys.executable, words)


COMMANDS = (
    Command(
        "daemon",
        "[CUTAWAYD OPTIONS]",
        "Run the engine in the foreground (the same as cutawayd)",
        daemon,
        passes_through=True,
    ),
)
