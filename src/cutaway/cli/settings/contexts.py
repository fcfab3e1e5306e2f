"""Which engine a command talks to: ``-H``, ``--context``, the environment, or the default.

A context is a name for an engine's address, kept where docker keeps its own, so the two commands
share them: ``CONFIG/contexts/meta/SHA256-OF-NAME/meta.json``, certificates under
``contexts/tls/SHA256-OF-NAME/docker``. The context ``default`` is not stored: it is what the
environment says.

Source: docker/cli ``cli/context/store`` and ``cli/command/cli.go`` (``resolveContextName``).
"""

import json
import os
from typing import Any

from cutaway.cli.flags import UsageError, Values
from cutaway.errors import InvalidParameter
from cutaway.files import write_atomic

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
    from cutaway.cli.settings.config_file import load_config

    try:
        return str(load_config(config_dir).get("currentContext") or DEFAULT)
    except InvalidParameter:  # ``Context.config`` tells of it
        return DEFAULT


class Endpoint:
    """Where an engine is, and what TLS it asks for.

    Attributes:
        url: its address; empty when nobody named one.
        skips_verify: its certificate is not verified.
        certificates: the context's directory of ``ca.pem``, ``cert.pem`` and ``key.pem``, or empty.
    """

    __slots__ = ("certificates", "skips_verify", "url")

    def __init__(self, url: str, *, skips_verify: bool = False, certificates: str = "") -> None:
        self.url = url
        self.skips_verify = skips_verify
        self.certificates = certificates

    @property
    def has_tls(self) -> bool:
        """Whether its context asks for TLS: docker takes it for plain HTTP otherwise."""
        return self.skips_verify or bool(self.certificates)


def engine_endpoint(flags: Values, config_dir: str) -> Endpoint:
    """Return where the engine is that the flags, the context or the environment name.

    Raises:
        UsageError: the context does not exist.
    """
    name = context_name(flags, config_dir)
    if name == DEFAULT:
        return Endpoint(str(flags["host"][-1]) if flags["host"] else _named_by_environment())
    try:
        endpoint = read_context(config_dir, name)["Endpoints"]["docker"]
    except UsageError as error:
        raise UsageError(f"{UNRESOLVED}: {error}") from None
    certificates = certificates_directory(config_dir, name)
    return Endpoint(
        str(endpoint["Host"]),
        skips_verify=bool(endpoint.get("SkipTLSVerify")),
        certificates=certificates if os.path.isdir(certificates) else "",
    )


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


def write_context(
    config_dir: str, document: dict[str, Any], certificates: dict[str, bytes]
) -> None:
    """Store a context whole, in the place of one of the same name.

    Args:
        config_dir: see ``default_config_dir``.
        document: ``Name``, ``Metadata`` and ``Endpoints``.
        certificates: contents of ``ca.pem``, ``cert.pem`` and ``key.pem``, as far as it has them.
    """
    name = document["Name"]
    os.makedirs(directory_of(config_dir, name), mode=0o755, exist_ok=True)
    _remove_certificates(config_dir, name)
    directory = certificates_directory(config_dir, name)
    if certificates:
        os.makedirs(directory, mode=0o700)
    for file_name, content in certificates.items():
        write_atomic(os.path.join(directory, file_name), content)
    data = json.dumps(document, separators=(",", ":")).encode()
    write_atomic(os.path.join(directory_of(config_dir, name), "meta.json"), data)


def read_certificates(config_dir: str, name: str) -> dict[str, bytes]:
    """Return the contents of a stored context's certificate files by name."""
    directory = certificates_directory(config_dir, name)
    found = {}
    for file_name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        with open(os.path.join(directory, file_name), "rb") as file:
            found[file_name] = file.read()
    return found


def remove_context(config_dir: str, name: str) -> None:
    """Forget a stored context and its certificates."""
    from shutil import rmtree

    rmtree(directory_of(config_dir, name))
    _remove_certificates(config_dir, name)


def _remove_certificates(config_dir: str, name: str) -> None:
    from shutil import rmtree

    rmtree(os.path.dirname(certificates_directory(config_dir, name)), ignore_errors=True)


def certificates_directory(config_dir: str, name: str) -> str:
    """Return where a context's certificates for its engine lie, if it has any."""
    digest = os.path.basename(directory_of(config_dir, name))
    return os.path.join(config_dir, "contexts", "tls", digest, "docker")


def directory_of(config_dir: str, name: str) -> str:
    """Return the directory of a context's description."""
    from hashlib import sha256

    digest = sha256(name.encode()).hexdigest()
    return os.path.join(config_dir, "contexts", "meta", digest)
