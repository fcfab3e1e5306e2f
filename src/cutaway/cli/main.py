"""The entry of the ``cutaway`` command: find the command, parse its flags, run it, map errors."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import NoReturn

from cutaway import __version__
from cutaway.cli.command import PROGRAM, Command, Context, layout_flags
from cutaway.cli.exit_codes import exit_code
from cutaway.cli.flags import NotATerminal, UsageError, Values, declare, parse
from cutaway.cli.index import COMMON, GROUPS, INDEX, ROOT_GROUPS
from cutaway.client import ApiError, Client, EngineUnreachable, parse_host
from cutaway.client.hosts import DEFAULT_HOST
from cutaway.errors import CutawayError

GLOBAL_FLAGS = """
    --config string      Location of client config files
-c, --context string     Name of the context to use to connect to the daemon (only "default" exists)
-D, --debug              Enable debug mode
-H, --host list          Daemon socket to connect to
-l, --log-level string   Set the logging level ("debug", "info", "warn", "error", "fatal") (default "info")
    --tls                Use TLS; implied by --tlsverify
    --tlscacert string   Trust certs signed only by this CA
    --tlscert string     Path to TLS certificate file
    --tlskey string      Path to TLS key file
    --tlsverify          Use TLS and verify the remote
-v, --version            Print version information and quit
    --help               Print usage
"""  # noqa: E501 - one flag a line


def main() -> NoReturn:
    """Run the command that ``sys.argv`` names and leave with its exit code."""
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone (``cutaway ps | head -1``): nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 141
    except KeyboardInterrupt:
        code = 130
    # Interpreter shutdown costs milliseconds and has nothing to do here.
    sys.stderr.flush()
    os._exit(code)


def run(words: list[str]) -> int:
    """Run one command line.

    Returns:
        The exit code. Errors have been printed.
    """
    try:
        flags, rest = parse(words, declare(GLOBAL_FLAGS), interspersed=False)
    except UsageError as error:
        print(f"{error}\n\n{_root_usage()}", file=sys.stderr)
        return 125
    if flags["version"]:
        print(f"cutaway version {__version__}")
        return 0
    if not rest or flags["help"]:
        return _print_help(rest)
    if rest[0] == "help":
        return _print_help(rest[1:])
    found = find(rest)
    if found is None:
        return _unknown(rest)
    command, arguments = found
    return run_command(command, arguments, _context(flags))


def find(words: list[str]) -> tuple[Command, list[str]] | None:
    """Find the command that the first one or two words name; the rest are its arguments."""
    for count in (2, 1):
        name = " ".join(words[:count])
        if len(words) >= count and name in INDEX:
            module, wanted, _ = INDEX[name]
            commands = import_module(f"cutaway.cli.commands.{module}").COMMANDS
            command: Command = next(c for c in commands if c.words == wanted)
            return command, words[count:]
    return None


def run_command(command: Command, words: list[str], context: Context) -> int:
    """Parse a command's own flags and run it, printing errors as docker does."""
    if command.passes_through:
        return _guarded(command, lambda: command.run(context, Values([]), words))
    flags = command.flags()
    help_words = {"--help"} if any(f.letter == "h" for f in flags) else {"--help", "-h"}
    try:
        if words and words[0] in help_words:
            sys.stdout.write(command.help())
            return 0
        values, arguments = parse(
            words,
            [*flags, *declare("    --help  Print usage")],
            interspersed=command.interspersed,
        )
        if values["help"]:
            sys.stdout.write(command.help())
            return 0
    except UsageError as error:
        return _usage_failure(command, str(error), see="Run", code=125)
    try:
        command.check_arguments(arguments)
    except UsageError as error:
        exactly = command.at_most is not None
        return _usage_failure(
            command, f"{PROGRAM}: {error}", see="Run" if exactly else "See", code=1
        )
    return _guarded(command, lambda: command.run(context, values, arguments))


def _usage_failure(command: Command, message: str, *, see: str, code: int = 125) -> int:
    more = f"{see} '{PROGRAM} {command.words} --help' for more information"
    print(f"{message}\n\nUsage:  {command.usage}\n\n{more}", file=sys.stderr)
    return code


def _guarded(command: Command, action: Callable[[], int]) -> int:
    try:
        return action()
    except BrokenPipeError:
        raise
    except CutawayError as error:
        print(_sentence(command, error), file=sys.stderr)
        return exit_code(command, error)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        prefix = f"{PROGRAM}: " if command.failure_code == 125 else ""
        print(f"{prefix}open {error.filename}: {reason}" if error.filename else reason,
              file=sys.stderr)  # fmt: skip
        return command.failure_code


def _sentence(command: Command, error: CutawayError) -> str:
    text = str(error)
    if isinstance(error, ApiError):
        text = f"Error response from daemon: {text}"
    if command.failure_code == 125 and not isinstance(error, NotATerminal):
        hint = f"Run '{PROGRAM} {command.words} --help' for more information"
        return f"{PROGRAM}: {text}\n\n{hint}"
    return text


def _context(flags: Values) -> Context:
    home = os.environ.get("HOME", "/root")
    config_dir = flags["config"] or os.environ.get("DOCKER_CONFIG") or f"{home}/.docker"

    def make_client() -> Client:
        named = flags["host"][-1] if flags["host"] else ""
        named = named or os.environ.get("CUTAWAY_HOST") or os.environ.get("DOCKER_HOST", "")
        host = parse_host(named or DEFAULT_HOST)
        if flags["tls"] or flags["tlsverify"] or os.environ.get("DOCKER_TLS_VERIFY"):
            from cutaway.cli.tls import make_tls_context

            host.tls = make_tls_context(flags, config_dir)
        if not named:
            _start_engine_if_none(host.path or "")
        return Client(host, version=os.environ.get("DOCKER_API_VERSION", ""))

    return Context(make_client, config_dir=config_dir, debug=flags["debug"])


def _start_engine_if_none(path: str) -> None:
    try:
        parse_host(f"unix://{path}").connect().close()
    except PermissionError as error:
        raise EngineUnreachable(f"unix://{path}", error) from error
    except (FileNotFoundError, ConnectionRefusedError):
        from cutaway.cli.start_engine import start_engine

        start_engine(path)


def _unknown(words: list[str]) -> int:
    from difflib import get_close_matches

    name = " ".join(words[:2]) if words[0] in GROUPS else words[0]
    if words[0] in GROUPS and (len(words) == 1 or words[1] in {"--help", "-h"}):
        return _print_help(words[:1])
    print(f"{PROGRAM}: unknown command: {PROGRAM} {name}", file=sys.stderr)
    close = get_close_matches(name, INDEX, n=1, cutoff=0.75)
    if words[0] in GROUPS:
        print(f"\nUsage:  {PROGRAM} {words[0]}", file=sys.stderr)
    elif close:
        print(f"\nDid you mean '{PROGRAM} {close[0]}'?", file=sys.stderr)
    group = f"{words[0]} " if words[0] in GROUPS else ""
    print(f"\nRun '{PROGRAM} {group}--help' for more information", file=sys.stderr)
    return 1


def _root_usage() -> str:
    return (
        f"Usage:  {PROGRAM} [OPTIONS] COMMAND [ARG...]\n\n"
        f"Run '{PROGRAM} --help' for more information"
    )


def _print_help(words: list[str]) -> int:
    found = find(words) if words else None
    if found is not None:
        sys.stdout.write(found[0].help())
    elif words and words[0] in GROUPS:
        sys.stdout.write(group_help(words[0]))
    elif words:
        return _unknown(words)
    else:
        sys.stdout.write(root_help())
    return 0


def group_help(group: str) -> str:
    """Return the help of a management command such as ``container``."""
    members = {
        name.split(" ")[1]: summary
        for name, (_, _, summary) in sorted(INDEX.items())
        if name.startswith(f"{group} ") and summary
    }
    return (
        f"Usage:  {PROGRAM} {group} COMMAND\n\n{GROUPS[group]}\n\nCommands:\n"
        + _columns(members)
        + f"\nRun '{PROGRAM} {group} COMMAND --help' for more information on a command.\n"
    )


def root_help() -> str:
    """Return the help of the program, in docker's layout."""
    single = {name: entry[2] for name, entry in INDEX.items() if " " not in name}
    common = {name: single[name] for name in COMMON}
    groups = {name: GROUPS[name] for name in ROOT_GROUPS}
    others = {n: s for n, s in sorted(single.items()) if n not in COMMON and s}
    return (
        f"Usage:  {PROGRAM} [OPTIONS] COMMAND\n\nA container engine you can see through\n\n"
        f"Common Commands:\n{_columns(common)}\n"
        f"Management Commands:\n{_columns(groups)}\n"
        f"Commands:\n{_columns(others)}\n"
        f"Global Options:\n{layout_flags(declare(GLOBAL_FLAGS))}\n\n"
        f"Run '{PROGRAM} COMMAND --help' for more information on a command.\n"
    )


def _columns(entries: dict[str, str]) -> str:
    width = max(map(len, entries), default=0) + 2
    return "".join(f"  {name.ljust(width)}{summary}\n" for name, summary in entries.items())
