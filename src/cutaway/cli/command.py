"""What a command is, and how its help is laid out (docker's layout)."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cutaway.cli.flags import Flag, UsageError, Values, declare
from cutaway.cli.screen.columns import terminal_columns
from cutaway.errors import InvalidParameter

if TYPE_CHECKING:
    from cutaway.client import Client

PROGRAM = "cutaway"
_FORMAT = "Format output using a custom template:\\n"
_JSON = "'json':             Print in JSON format\\n"
_TEMPLATE = (
    "'TEMPLATE':         Print output using the given Go template.\\n"
    "Refer to https://docs.docker.com/go/formatting/ for more information about formatting output "
    "with templates"
)
_TABLE = (
    "'table':            Print output in table format with column headers (default)\\n"
    "'table TEMPLATE':   Print output in table format using the given Go template\\n"
)
# What ``$NAME`` stands for in a command's flags: docker's paragraphs on ``--format``.
_PARAGRAPHS = {
    "$FORMAT_TABLE": _FORMAT + _TABLE + _JSON + _TEMPLATE,
    "$FORMAT": _FORMAT + _JSON + _TEMPLATE,
}


class Context:
    """What every command gets beside its flags.

    Attributes:
        client: talks to the engine that ``-H`` or DOCKER_HOST names; opened on first use.
        config_dir: where ``config.json`` with credentials and defaults lies.
        debug: ``-D`` was given.
        flags: the flags before the command.
    """

    def __init__(
        self, make_client: "Callable[[], Client]", *, config_dir: str, debug: bool, flags: Values
    ) -> None:
        self._make_client = make_client
        self.flags = flags
        self._client: Client | None = None
        self._config: dict[str, Any] | None = None
        self.config_dir = config_dir
        self.debug = debug

    @property
    def client(self) -> "Client":
        """The engine's client; the first use starts the engine if none runs and none was named."""
        if self._client is None:
            self._client = self._make_client()
        return self._client

    @property
    def config(self) -> dict[str, Any]:
        """The user's ``config.json``; what can't be read is told once and taken for empty."""
        if self._config is None:
            from cutaway.cli.settings.config_file import load_config

            try:
                self._config = load_config(self.config_dir)
            except InvalidParameter as error:
                print(f"WARNING: Error loading config file: {error}", file=sys.stderr)
                self._config = {}
        return self._config

    def proxies(self, given: set[str]) -> dict[str, str]:
        """Return ``config.json``'s proxy variables for this engine, but for those in ``given``."""
        if not self.config.get("proxies"):
            return {}
        from cutaway.cli.settings.config_file import proxy_variables

        return proxy_variables(self.config, self.client.host.url, given)

    def list_format(self, flags: Values, key: str) -> str:
        """Return the template for a list: ``--format``, else what ``config.json`` has for it."""
        if flags["format"] or flags.get("quiet"):
            return str(flags["format"])
        return str(self.config.get(key) or "")


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
        aliases: other words for the same command, as its help lists them; ``words`` comes last
            unless it is among them.
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
        self.usage = usage
        self.summary = summary
        self.run = run
        self.flag_text = flags
        self.at_least = at_least
        self.at_most = at_most
        self.interspersed = interspersed
        self.aliases = aliases
        self.details = details
        self.failure_code = failure_code
        self.passes_through = passes_through

    def flags(self) -> list[Flag]:
        """Parse the declarations: only the chosen command pays for its own."""
        text = self.flag_text
        for name, paragraph in _PARAGRAPHS.items():
            text = text.replace(name, paragraph)
        return declare(text)

    def usage_line(self, typed: str) -> str:
        """Return the command line in docker's notation; ``typed`` is how the user named it."""
        return f"{PROGRAM} {typed} {self.usage}".rstrip()

    def check_arguments(self, arguments: list[str], typed: str) -> None:
        """Refuse too few or too many arguments.

        Raises:
            UsageError: in docker's words.
        """
        count = len(arguments)
        name = f"'{PROGRAM} {typed}'"
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

    def help(self, typed: str) -> str:
        """Return the whole help text; ``typed`` is how the user named the command."""
        parts = [f"Usage:  {self.usage_line(typed)}", self.summary]
        if self.details:
            parts.append(self.details)
        if self.aliases:
            names = self.aliases if self.words in self.aliases else [*self.aliases, self.words]
            parts.append("Aliases:\n  " + ", ".join(f"{PROGRAM} {n}" for n in names))
        flags = self.flags()
        if flags:
            parts.append("Options:\n" + layout_flags(flags))
        return "\n\n".join(parts) + "\n"


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"


def layout_flags(flags: list[Flag]) -> str:
    """Lay flags out by name in two columns, the second wrapped to the terminal's width."""
    flags = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: flag.name)
    lefts = []
    for flag in flags:
        letter = f"-{flag.letter}, " if flag.letter else "    "
        kind = "" if flag.kind == "bool" else f" {flag.kind}"
        lefts.append(f"  {letter}--{flag.name}{kind}")
    column = max(map(len, lefts)) + 3
    width = terminal_columns(0) - 1 - column
    return "\n".join(
        left.ljust(column) + f"\n{' ' * column}".join(wrap(flag.help, width))
        for left, flag in zip(lefts, flags, strict=True)
    )


_SLOP = 5  # a line may be this much longer when that avoids a short last line


def wrap(text: str, width: int) -> list[str]:
    """Break text at spaces and line ends as the Go library pflag does for docker's help."""
    if width < 24:
        return text.split("\n")
    limit = width - _SLOP
    lines = []
    while len(text) >= width:
        space = max(text.rfind(char, 0, limit) for char in " \t\n")
        if space <= 0:
            break
        end = text.rfind("\n", 0, limit)
        cut = end if 0 < end < space else space
        lines += text[:cut].split("\n")
        text = text[cut + 1 :]
    return [*lines, *text.split("\n")]
