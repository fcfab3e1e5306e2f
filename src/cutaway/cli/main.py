"""The entry of the ``cutaway`` command: find the command, parse its flags, run it, map errors."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from cutaway import __version__
from cutaway.cli.command import PROGRAM, Command, Context
from cutaway.cli.exit_codes import exit_code
from cutaway.cli.find import find, global_flags
from cutaway.cli.flags import PlainFailure, UsageError, Values, declare, parse
from cutaway.cli.settings.config_file import request_headers
from cutaway.cli.settings.contexts import UNRESOLVED, engine_endpoint
from cutaway.client import ApiError, Client, EngineUnreachable, parse_host
from cutaway.client.hosts import DEFAULT_HOST
from cutaway.errors import CutawayError, InvalidParameter

_HELP_FLAG = declare("    --help  Print usage")
_ROOT_USAGE = (
    f"Usage:  {PROGRAM} [OPTIONS] COMMAND [ARG...]\n\nRun '{PROGRAM} --help' for more information"
)


def main() -> NoReturn:
    """Run the command that ``sys.argv`` names and leave with its exit code."""
    _open_closed_streams()
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone (``cutaway ps | head -1``): nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 141
    except KeyboardInterrupt:
        code = 130
    except OSError as error:
        print(f"write /dev/stdout: {(error.strerror or '').lower()}", file=sys.stderr)
        code = 1
    # Interpreter shutdown costs milliseconds and has nothing to do here.
    sys.stderr.flush()
    os._exit(code)


def _open_closed_streams() -> None:
    """Point standard streams that are closed (``>&-``) at /dev/null, lest sockets get them."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            setattr(sys, name, os.fdopen(number, mode))


def run(words: list[str]) -> int:
    """Run one command line.

    Returns:
        The exit code. Errors have been printed.
    """
    try:
        flags, rest = parse(words, global_flags(), interspersed=False)
    except UsageError as error:
        print(f"{error}\n\n{_ROOT_USAGE}", file=sys.stderr)
        return 125
    if flags["version"]:
        print(f"cutaway version {__version__}")
        return 0
    if not rest or flags["help"] or rest[0] == "help":
        from cutaway.cli.help import print_help

        return print_help(rest[1:] if rest[:1] == ["help"] else rest)
    found = find(rest)
    context = _context(flags)
    if found is None:
        return _run_plugin(rest, words, context)
    command, typed, arguments = found
    return run_command(command, arguments, context, typed=typed)


def _run_plugin(rest: list[str], words: list[str], context: Context) -> int:
    """Become the program beside docker's client that has this command, if there is one."""
    from cutaway.cli.help import unknown_command
    from cutaway.cli.settings.plugins import become_plugin, find_plugin

    path = find_plugin(rest[0], context)
    if not path:
        return unknown_command(rest)
    try:
        become_plugin(path, words, context)
    except (CutawayError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def run_command(command: Command, words: list[str], context: Context, *, typed: str) -> int:
    """Parse a command's own flags and run it, printing errors as docker does."""
    if command.passes_through:
        return _guarded(command, typed, lambda: command.run(context, Values([]), words))
    flags = command.flags()
    help_words = {"--help"} if any(f.letter == "h" for f in flags) else {"--help", "-h"}
    try:
        if words and words[0] in help_words:
            sys.stdout.write(command.help(typed))
            return 0
        values, arguments = parse(
            words,
            flags if any(f.name == "help" for f in flags) else [*flags, *_HELP_FLAG],
            interspersed=command.interspersed,
        )
        if values["help"]:
            sys.stdout.write(command.help(typed))
            return 0
        _refuse_content_trust(values)
    except UsageError as error:
        return _usage_failure(command, typed, str(error), see="Run")
    try:
        command.check_arguments(arguments, typed)
    except UsageError as error:
        exactly = command.at_most is not None
        return _usage_failure(
            command, typed, f"{PROGRAM}: {error}", see="Run" if exactly else "See", code=1
        )
    return _guarded(command, typed, lambda: command.run(context, values, arguments))


def _refuse_content_trust(flags: Values) -> None:
    """Refuse to verify Notary's signatures, which this engine can't: better than to pretend."""
    given = "disable-content-trust" in flags.given
    wanted = os.environ.get("DOCKER_CONTENT_TRUST", "") not in {"", "0", "false"}
    if flags.get("disable-content-trust", True) and (given or not wanted):
        return
    if "disable-content-trust" in flags:
        raise UsageError(
            "content trust (Notary) is not supported: name an image by its digest, "
            "NAME@sha256:..., to get exactly that content"
        )


def _usage_failure(command: Command, typed: str, message: str, *, see: str, code: int = 125) -> int:
    more = f"{see} '{PROGRAM} {typed} --help' for more information"
    print(f"{message}\n\nUsage:  {command.usage_line(typed)}\n\n{more}", file=sys.stderr)
    return code


def _guarded(command: Command, typed: str, action: Callable[[], int]) -> int:
    try:
        return action()
    except BrokenPipeError:
        raise
    except CutawayError as error:
        print(_sentence(command, typed, error), file=sys.stderr)
        return exit_code(command, error)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        prefix = f"{PROGRAM}: " if command.failure_code == 125 else ""
        print(f"{prefix}open {error.filename}: {reason}" if error.filename else reason,
              file=sys.stderr)  # fmt: skip
        return command.failure_code


def _sentence(command: Command, typed: str, error: CutawayError) -> str:
    text = str(error)
    if isinstance(error, ApiError):
        text = f"Error response from daemon: {text}"
    if command.failure_code == 125 and not isinstance(error, PlainFailure):
        hint = f"Run '{PROGRAM} {typed} --help' for more information"
        return f"{PROGRAM}: {text}\n\n{hint}"
    return text


def _context(flags: Values) -> Context:
    config_dir = flags["config"]

    def make_client() -> Client:
        endpoint = engine_endpoint(flags, config_dir)
        try:
            host = parse_host(endpoint.url or DEFAULT_HOST)
        except InvalidParameter as error:
            raise UsageError(f"{UNRESOLVED}: {error}") from None
        verifies = flags["tlsverify"] or os.environ.get("DOCKER_TLS_VERIFY")
        if flags["tls"] or verifies or endpoint.has_tls:
            from cutaway.cli.settings.tls import make_tls_context

            host.tls = make_tls_context(flags, endpoint)
        if not endpoint.url:
            _start_engine_if_none(host.path or "")
        version = os.environ.get("DOCKER_API_VERSION", "")
        return Client(host, version=version, headers=request_headers(context.config))

    context = Context(make_client, config_dir=config_dir, debug=flags["debug"], flags=flags)
    return context


def _start_engine_if_none(path: str) -> None:
    try:
        parse_host(f"unix://{path}").connect().close()
    except PermissionError as error:
        raise EngineUnreachable(f"unix://{path}", error) from error
    except (FileNotFoundError, ConnectionRefusedError):
        from cutaway.cli.settings.start_engine import start_engine

        start_engine(path)
