"""From words to the command they name, and the flags that may come before it."""

import os
from importlib import import_module

from cutaway.cli.command import Command
from cutaway.cli.flags import Flag, declare
from cutaway.cli.index import INDEX
from cutaway.cli.settings.contexts import default_config_dir

GLOBAL_FLAGS = """
    --config string      Location of client config files (default "$CONFIG")
-c, --context string     Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set with "cutaway context use")
-D, --debug              Enable debug mode
-H, --host list          Daemon socket to connect to
-l, --log-level string   Set the logging level ("debug", "info", "warn", "error", "fatal") (default "info")
    --tls                Use TLS; implied by --tlsverify
    --tlscacert string   Trust certs signed only by this CA (default "$CERTIFICATES/ca.pem")
    --tlscert string     Path to TLS certificate file (default "$CERTIFICATES/cert.pem")
    --tlskey string      Path to TLS key file (default "$CERTIFICATES/key.pem")
    --tlsverify          Use TLS and verify the remote
-v, --version            Print version information and quit
    --help               (hidden) Print usage
"""  # noqa: E501 - one flag a line


def find(words: list[str]) -> tuple[Command, str, list[str]] | None:
    """Find the command that the first words name, three of them at most.

    Returns:
        (the command, its name as typed, the words behind that), None when there is none.
    """
    for count in (3, 2, 1):
        name = " ".join(words[:count])
        if len(words) >= count and name in INDEX:
            module, wanted, _ = INDEX[name]
            commands = import_module(f"cutaway.cli.commands.{module}").COMMANDS
            command: Command = next(c for c in commands if c.words == wanted)
            return command, name, words[count:]
    return None


def global_flags() -> list[Flag]:
    """Parse the declarations of the flags that come before the command."""
    config_dir = default_config_dir()
    certificates = os.environ.get("DOCKER_CERT_PATH") or config_dir
    return declare(
        GLOBAL_FLAGS.replace("$CONFIG", config_dir).replace("$CERTIFICATES", certificates)
    )
