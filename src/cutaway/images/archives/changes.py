"""``--change`` of import and commit: single Dockerfile instructions applied to an image config.

Source: Docker "docker image import" and "docker container commit", ``--change``; moby
builder/dockerfile ``BuildFromConfig``.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from cutaway.errors import InvalidParameter
from cutaway.oci import ContainerDefaults

_SHELL = ("/bin/sh", "-c")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")
_SIGNAL = re.compile(r"(?:SIG)?[A-Z0-9+-]+|\d+")


def apply_changes(config: ContainerDefaults, changes: Iterable[str]) -> ContainerDefaults:
    """Return ``config`` changed by instructions, in order.

    Args:
        config: what they start from.
        changes: ``CMD ["sh"]``, ``ENV A=b C=d``, ``EXPOSE 80/tcp``, …

    Raises:
        InvalidParameter: an unknown instruction, or one that can't be used here.
    """
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        instruction = _INSTRUCTIONS.get(word.upper())
        if instruction is None:
            raise InvalidParameter(f"{word} is not a valid change command")
        if not rest.strip():
            raise InvalidParameter(f"{word.upper()} requires at least one argument")
        config = instruction(config, rest.strip())
    return config


def _command(config: ContainerDefaults, text: str) -> tuple[str, ...]:
    """Read the exec form (JSON) or the shell form of a command."""
    if text.startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return tuple(words)
    return (*(config.shell or _SHELL), text)


def _change_cmd(config: ContainerDefaults, text: str) -> ContainerDefaults:
    return replace(config, cmd=_command(config, text))


def _change_entrypoint(config: ContainerDefaults, text: str) -> ContainerDefaults:
    # A command of the image below was meant for the entry point below.
    return replace(config, entrypoint=_command(config, text), cmd=None)


def _pairs(text: str, instruction: str) -> list[tuple[str, str]]:
    words = _words(text)
    if "=" not in words[0]:  # the old form: ENV NAME all the rest
        name, _, value = text.partition(" ")
        if not value.strip():
            raise InvalidParameter(f"{instruction} must have two arguments")
        return [(name, value.strip())]
    pairs = [word.partition("=") for word in words]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise InvalidParameter(
                f"Syntax error - can't find = in {name!r}. Must be of the form: name=value"
            )
    return [(name, value) for name, _, value in pairs]


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidParameter(f"unexpected end of statement in {text!r}: {error}") from error
    if not words:
        raise InvalidParameter("an instruction without arguments")
    return words


def _change_env(config: ContainerDefaults, text: str) -> ContainerDefaults:
    environment = {item.partition("=")[0]: item for item in config.env}
    for name, value in _pairs(text, "ENV"):
        environment[name] = f"{name}={value}"
    return replace(config, env=tuple(environment.values()))


def _change_label(config: ContainerDefaults, text: str) -> ContainerDefaults:
    return replace(config, labels={**config.labels, **dict(_pairs(text, "LABEL"))})


def _change_expose(config: ContainerDefaults, text: str) -> ContainerDefaults:
    ports = dict(config.exposed_ports)
    for word in text.split():
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not match or not 0 < first <= last < 65536:
            raise InvalidParameter(f"invalid containerPort: {word}")
        for port in range(first, last + 1):
            ports[f"{port}/{match[3] or 'tcp'}"] = {}
    return replace(config, exposed_ports=ports)


def _change_user(config: ContainerDefaults, text: str) -> ContainerDefaults:
    return replace(config, user=_single(text, "USER"))


def _change_workdir(config: ContainerDefaults, text: str) -> ContainerDefaults:
    path = text if text.startswith("/") else f"{config.working_dir or '/'}/{text}"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return replace(config, working_dir="/" + "/".join(parts))


def _change_volume(config: ContainerDefaults, text: str) -> ContainerDefaults:
    words = _command(config, text) if text.startswith("[") else tuple(_words(text))
    if not all(word.strip() for word in words):
        raise InvalidParameter("VOLUME specified can not be an empty string")
    return replace(config, volumes={**config.volumes, **{word: {} for word in words}})


def _change_stop_signal(config: ContainerDefaults, text: str) -> ContainerDefaults:
    signal = _single(text, "STOPSIGNAL")
    if not _SIGNAL.fullmatch(signal.upper()):
        raise InvalidParameter(f"Invalid signal: {signal}")
    return replace(config, stop_signal=signal)


def _change_on_build(config: ContainerDefaults, text: str) -> ContainerDefaults:
    trigger = text.partition(" ")[0].upper()
    if trigger in ("ONBUILD", "FROM", "MAINTAINER"):
        raise InvalidParameter(f"{trigger} isn't allowed as an ONBUILD trigger")
    return replace(config, on_build=(*config.on_build, text))


def _single(text: str, instruction: str) -> str:
    words = _words(text)
    if len(words) != 1:
        raise InvalidParameter(f"{instruction} requires exactly one argument")
    return words[0]


_INSTRUCTIONS: dict[str, Callable[[ContainerDefaults, str], Any]] = {
    "CMD": _change_cmd,
    "ENTRYPOINT": _change_entrypoint,
    "ENV": _change_env,
    "EXPOSE": _change_expose,
    "LABEL": _change_label,
    "ONBUILD": _change_on_build,
    "STOPSIGNAL": _change_stop_signal,
    "USER": _change_user,
    "VOLUME": _change_volume,
    "WORKDIR": _change_workdir,
}
