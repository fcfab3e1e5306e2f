"""``completion``, and the hidden command that its scripts call."""

import sys

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import UsageError, Values


def completion(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print a shell's completion script."""
    from cutaway.cli.completion.scripts import SCRIPTS

    (shell,) = arguments
    if shell not in SCRIPTS:
        raise UsageError(f'no completion for "{shell}": choose one of {", ".join(SCRIPTS)}')
    sys.stdout.write(SCRIPTS[shell])
    return 0


def complete(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print the directive and the candidates for the last of the words, one a line."""
    from cutaway.cli.completion.candidates import complete as candidates

    chosen = _flags_before_the_command(arguments, context.flags)

    def ask(kind: str, command: str) -> list[tuple[str, str]]:
        return _ask(chosen, kind, command)

    directive, found = candidates(arguments or [""], ask)
    print(directive)
    for word, note in found:
        print(f"{word}\t{note}" if note else word)
    return 0


_PATIENCE_S = 2


def _flags_before_the_command(words: list[str], default: Values) -> Values:
    from cutaway.cli.find import global_flags
    from cutaway.cli.flags import parse

    try:
        return parse(words[:-1], global_flags(), interspersed=False)[0]
    except UsageError:
        return default


def _ask(flags: Values, kind: str, command: str) -> list[tuple[str, str]]:
    """Ask the engine if it runs: a key press starts none, and waits for none."""
    import socket

    from cutaway.cli.completion.values import ask_engine
    from cutaway.cli.settings.contexts import engine_endpoint, stored_names
    from cutaway.client import Client, parse_host
    from cutaway.client.hosts import DEFAULT_HOST
    from cutaway.errors import CutawayError

    if kind == "contexts":
        return [(name, "") for name in ("default", *stored_names(flags["config"]))]
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        host = parse_host(engine_endpoint(flags, flags["config"]).url or DEFAULT_HOST)
        return ask_engine(Client(host), kind, command)
    except (CutawayError, OSError):
        return []


COMMANDS = (
    Command(
        "completion",
        "SHELL",
        "Print the script that completes words in bash, zsh or fish",
        completion,
        details="SHELL is bash, zsh or fish. For this session, or in the shell's start-up file:\n\n"
        "  source <(cutaway completion bash)\n"
        "  source <(cutaway completion zsh)\n"
        "  cutaway completion fish | source",
        at_least=1,
        at_most=1,
    ),
    Command(
        "__complete",
        "[WORD...]",
        "Say what may stand in place of the last word",
        complete,
        passes_through=True,
    ),
)
