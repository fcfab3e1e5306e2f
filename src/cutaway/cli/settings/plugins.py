"""Commands that docker's client gets from programs beside it: ``compose`` is ``docker-compose``.

Source: docker/cli ``cli-plugins/manager``.
"""

import os
from typing import NoReturn

from cutaway.cli.command import Context
from cutaway.cli.settings.contexts import DEFAULT, context_name

_SYSTEM_DIRECTORIES = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)


def find_plugin(name: str, context: Context) -> str:
    """Return the path of the program that adds a command; empty when there is none."""
    if not name.isalnum():
        return ""
    directories = (
        *(context.config.get("cliPluginsExtraDirs") or []),
        os.path.join(context.config_dir, "cli-plugins"),
        *_SYSTEM_DIRECTORIES,
    )
    paths = (os.path.join(directory, f"docker-{name}") for directory in directories)
    return next((path for path in paths if os.access(path, os.X_OK)), "")


def become_plugin(path: str, words: list[str], context: Context) -> NoReturn:
    """Replace this process by the program, in front of the engine that commands talk to.

    Args:
        path: from ``find_plugin``.
        words: the whole command line: the program reads the flags before its command, too.
        context: its client names the engine, which is started if none runs.

    Raises:
        OSError: the program can't be executed.
    """
    environment = {**os.environ, "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "cutaway"}
    url = context.client.host.url
    if not context.flags["host"] and context_name(context.flags, context.config_dir) == DEFAULT:
        environment["DOCKER_HOST"] = url  # it doesn't know our default
    os.execve(path, [path, *words], environment)
