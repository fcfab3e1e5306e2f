"""What a command is, and how its help is laid out (docker's layout)."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from cutaway.cli.flags import Flag, UsageError, Values, declare

if TYPE_CHECKING:
    from cutaway.client import Client

PROGRAM = "cutaway"
_FORMAT_HELP = (
    "Format output using a custom template: 'json': Print in JSON format. 'table TEMPLATE': Print "
    "in table format using the given Go template. 'TEMPLATE': Print using the given Go template."
)


class Context:
    """What every command gets beside its flags.

    Attributes:
        client: talks to the engine that ``-H`` or DOCKER_HOST names; opened on first use.
        config_dir: where ``config.json`` with credentials and defaults lies.
        debug: ``-D`` was given.
    """

    def __init__(
        self, make_client: "Callable[[], Client]", *, config_dir: str, debug: bool
    ) -> None:
        self._make_client = make_client
        self._client: Client | None = None
        self.config_dir = config_dir
        self.debug = debug

    @property
    def client(self) -> "Client":
        """The engine's client; the first use starts the engine if none runs and none was named."""
        if self._client is None:
            self._client = self._make_client()
        return self._client


class Command:
    """One command: its usage, flags, and the function that does it.

    Args:
        words: what is typed behind the program's name, ``container ls``.
        usage: the arguments in docker's notation, ``[OPTIONS] CONTAINER [CONTAINER...]``.
        summary: one line for the list of commands.
        run: takes (context, flags, arguments) and returns the exit code.
        flags: declarations, see ``flags.declare``.
        at_least: how many arguments it needs.
        at_most: how many it takes; None means any number.
        interspersed: flags may follow arguments.
        aliases: other words for the same command.
        details: more text for its help.
        failure_code: exit code when the engine refuses.
        passes_through: its words are not ours to parse (``daemon`` has dockerd's flags).
    """

    def __init__(
        self,
        words: str,
        usage: str,
        summary: str,
        run: Callable[[Context, Values, list[str]], int],
        *,
        flags: str = "",
        at_least: int = 0,
        at_most: int | None = None,
        interspersed: bool = True,
        aliases: tuple[str, ...] = (),
        details: str = "",
        failure_code: int = 1,
        passes_through: bool = False,
    ) -> None:
        self.words = words
        self.usage = f"{PROGRAM} {words} {usage}".strip()
        self.summary = summary
        self.run = run
        self.flag_text = flags.replace("$FORMAT", _FORMAT_HELP)
        self.at_least = at_least
        self.at_most = at_most
        self.interspersed = interspersed
        self.aliases = aliases
        self.details = details
        self.failure_code = failure_code
        self.passes_through = passes_through

    def flags(self) -> list[Flag]:
        """Parse the declarations: only the chosen command pays for its own."""
        return declare(self.flag_text)

    def check_arguments(self, arguments: list[str]) -> None:
        """Refuse too few or too many arguments.

        Raises:
            UsageError: in docker's words.
        """
        count = len(arguments)
        name = f"'{PROGRAM} {self.words}'"
        if self.at_least == self.at_most and count != self.at_least:
            if self.at_least == 0:
                raise UsageError(f"{name} accepts no arguments")
            raise UsageError(f"{name} requires {_arguments(self.at_least)}")
        if count < self.at_least:
            raise UsageError(f"{name} requires at least {_arguments(self.at_least)}")
        if self.at_most is not None and count > self.at_most:
            if self.at_most == 0:
                raise UsageError(f"{name} accepts no arguments")
            raise UsageError(f"{name} requires at most {_arguments(self.at_most)}")

    def help(self) -> str:
        """Return the whole help text."""
        parts = [f"Usage:  {self.usage}", self.summary]
        if self.details:
            parts.append(self.details)
        if self.aliases:
            names = [*self.aliases, self.words]
            parts.append("Aliases:\n  " + ", ".join(f"{PROGRAM} {n}" for n in names))
        flags = sorted(self.flags(), key=lambda f: f.name)
        if flags:
            parts.append("Options:\n" + layout_flags(flags))
        return "\n\n".join(parts) + "\n"


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"


def layout_flags(flags: list[Flag]) -> str:
    """Lay flags out in two columns, the second wrapped to the terminal's width."""
    import textwrap

    width = int(os.environ.get("COLUMNS") or 0) or 80
    lefts = []
    for flag in flags:
        letter = f"-{flag.letter}, " if flag.letter else "    "
        kind = "" if flag.kind == "bool" else f" {flag.kind}"
        lefts.append(f"  {letter}--{flag.name}{kind}")
    column = max(map(len, lefts)) + 3
    lines = []
    for left, flag in zip(lefts, flags, strict=True):
        wrapped = textwrap.wrap(flag.help, max(width - column, 24)) or [""]
        lines.append(left.ljust(column) + wrapped[0])
        lines.extend(" " * column + more for more in wrapped[1:])
    return "\n".join(lines)
