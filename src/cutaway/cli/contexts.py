"""Which engine a command talks to: ``-H``, ``--context``, the environment, or the default.

A context is a name for an engine's address, kept where docker keeps its own, so the two commands
share them: ``CONFIG/contexts/meta/SHA256-OF-NAME/meta.json``. The context ``default`` is not
stored: it is what the environment says.

Source: docker/cli ``cli/context/store`` and ``cli/command/cli.go`` (``resolveContextName``).
"""

import json
import os
from typing import Any

from cutaway.cli.flags import UsageError, Values

DEFAULT = "default"
UNRESOLVED = "Failed to initialize: unable to resolve docker endpoint"


def default_config_dir() -> str:
    """Return where ``config.json`` lies unless ``--config`` says otherwise."""
    return os.environ.get("DOCKER_CONFIG") or os.path.join(
        os.environ.get("HOME") or "/root", ".docker"
    )


def context_name(flags: Values, config_dir: str) -> str:
    """Return the name of the context in force.

    Raises:
        UsageError: both ``--host`` and ``--context`` were given.
    """
    if flags["context"] and flags["host"]:
        raise UsageError("conflicting options: cannot specify both --host and --context")
    if flags["context"]:
        return str(flags["context"])
    if flags["host"] or _named_by_environment():
        return DEFAULT
    if named := os.environ.get("DOCKER_CONTEXT"):
        return named
    from cutaway.cli.config_file import load_config

    return str(load_config(config_dir).get("currentContext") or DEFAULT)


def engine_host(flags: Values, config_dir: str) -> str:
    """Return the address of the engine; empty when nobody named one.

    Raises:
        UsageError: the context does not exist.
    """
    return engine_endpoint(flags, config_dir)[0]


def engine_endpoint(flags: Values, config_dir: str) -> tuple[str, bool]:
    """Return the address of the engine, and whether its context says ``skip-tls-verify``.

    That asks for TLS, too: docker takes a context without certificates for plain HTTP otherwise.

    Raises:
        UsageError: the context does not exist.
    """
    name = context_name(flags, config_dir)
    if name == DEFAULT:
        return (str(flags["host"][-1]) if flags["host"] else _named_by_environment()), False
    try:
        endpoint = read_context(config_dir, name)["Endpoints"]["docker"]
        return str(endpoint["Host"]), bool(endpoint.get("SkipTLSVerify"))
    except UsageError as error:
        raise UsageError(f"{UNRESOLVED}: {error}") from None


def _named_by_environment() -> str:
    return os.environ.get("CUTAWAY_HOST") or os.environ.get("DOCKER_HOST") or ""


def read_context(config_dir: str, name: str) -> dict[str, Any]:
    """Return a stored context: ``Name``, ``Metadata`` and ``Endpoints``.

    Raises:
        UsageError: there is none of that name.
    """
    try:
        with open(os.path.join(directory_of(config_dir, name), "meta.json"), "rb") as file:
            document: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        raise UsageError(
            f'context "{name}": context not found: open '
            f"{os.path.join(directory_of(config_dir, name), 'meta.json')}: "
            "no such file or directory"
        ) from None
    return document


def stored_names(config_dir: str) -> list[str]:
    """Return the names of all stored contexts, in order."""
    directory = os.path.join(config_dir, "contexts", "meta")
    names = []
    for entry in os.listdir(directory) if os.path.isdir(directory) else []:
        with open(os.path.join(directory, entry, "meta.json"), "rb") as file:
            names.append(str(json.load(file)["Name"]))
    return sorted(names)


def directory_of(config_dir: str, name: str) -> str:
    """Return the directory of a context's description."""
    from hashlib import sha256

    digest = sha256(name.encode()).hexdigest()
    return os.path.join(config_dir, "contexts", "meta", digest)
