"""Instructions that change only the image's configuration. Pure."""

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cutaway.build.dockerfile import instructions as ins
from cutaway.build.dockerfile.expand import Expander
from cutaway.build.dockerfile.stages import expand
from cutaway.build.errors import suggestion
from cutaway.errors import InvalidParameter
from cutaway.oci import ContainerDefaults, HealthConfig

DEFAULT_SHELL = ("/bin/sh", "-c")


def change_settings(
    config: ContainerDefaults,
    instruction: ins.Instruction,
    expander: Expander,
    *,
    cmd_is_set: bool,
) -> ContainerDefaults:
    """Return the configuration after an instruction.

    Args:
        config: before it.
        instruction: any that changes no file.
        expander: knows the variables at this place.
        cmd_is_set: this Dockerfile has set CMD; otherwise an ENTRYPOINT clears an inherited one.

    Raises:
        InvalidParameter: a port, path or signal that can't be.
    """

    def word(text: str) -> str:
        return expand(expander, text, instruction)

    if isinstance(instruction, ins.Cmd):
        return replace(config, cmd=_command(instruction.words, instruction.is_shell, config))
    if isinstance(instruction, ins.Entrypoint):
        words = _command(instruction.words, instruction.is_shell, config)
        return replace(config, entrypoint=words, cmd=config.cmd if cmd_is_set else None)
    return _CHANGES[type(instruction)](config, instruction, word)


Word = Callable[[str], str]


def _command(
    words: tuple[str, ...], is_shell: bool, config: ContainerDefaults
) -> tuple[str, ...] | None:
    if is_shell:
        return (*(config.shell or DEFAULT_SHELL), *words)
    return words or None


def _label(config: ContainerDefaults, instruction: ins.Label, word: Word) -> ContainerDefaults:
    labels = {word(name): word(value) for name, value in instruction.pairs}
    return replace(config, labels={**config.labels, **labels})


def _expose(config: ContainerDefaults, instruction: ins.Expose, word: Word) -> ContainerDefaults:
    ports = dict(config.exposed_ports)
    for text in instruction.ports:
        for item in word(text).split():
            for port in parse_exposed(item):
                ports[port] = {}
    return replace(config, exposed_ports=ports)


def parse_exposed(text: str) -> list[str]:
    """Read ``80``, ``80/udp`` or ``7000-7010/tcp`` into ``["80/tcp", …]``.

    Raises:
        InvalidParameter: not a port, or an unknown protocol.
    """
    ports, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    first, _, last = ports.rpartition(":")[2].partition("-")
    if protocol not in {"tcp", "udp", "sctp"}:
        raise InvalidParameter(f"invalid proto: {protocol}")
    if not (first.isdecimal() and (last or first).isdecimal()):
        raise InvalidParameter(f"invalid containerPort: {text}")
    start, end = int(first), int(last or first)
    if not 0 < start <= end <= 65535:
        raise InvalidParameter(f"invalid containerPort: {text}: ports go from 1 to 65535")
    return [f"{port}/{protocol}" for port in range(start, end + 1)]


def _volume(config: ContainerDefaults, instruction: ins.Volume, word: Word) -> ContainerDefaults:
    volumes: dict[str, Any] = dict(config.volumes)
    for text in instruction.paths:
        path = word(text)
        if not path:
            raise InvalidParameter("VOLUME specified can not be an empty string")
        volumes[path] = {}
    return replace(config, volumes=volumes)


def _user(config: ContainerDefaults, instruction: ins.User, word: Word) -> ContainerDefaults:
    return replace(config, user=word(instruction.user))


def _stop_signal(
    config: ContainerDefaults, instruction: ins.StopSignal, word: Word
) -> ContainerDefaults:
    name = word(instruction.signal)
    check_signal(name)
    return replace(config, stop_signal=name)


def check_signal(name: str) -> None:
    """Refuse what is no signal's name or number.

    Raises:
        InvalidParameter: in Docker's words.
    """
    names = [s.name for s in signal.Signals]
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    is_real_time = full.startswith(("SIGRTMIN", "SIGRTMAX"))
    is_number = name.isdecimal() and 0 < int(name) <= 64
    if not (is_number or full in names or is_real_time):
        raise InvalidParameter(f"invalid signal: {name}{suggestion(full, names)}")


def _healthcheck(
    config: ContainerDefaults, instruction: ins.Healthcheck, word: Word
) -> ContainerDefaults:
    check = HealthConfig(
        test=instruction.test,
        interval=instruction.interval_ns,
        timeout=instruction.timeout_ns,
        start_period=instruction.start_period_ns,
        start_interval=instruction.start_interval_ns,
        retries=instruction.retries,
    )
    return replace(config, healthcheck=check)


def _shell(config: ContainerDefaults, instruction: ins.Shell, word: Word) -> ContainerDefaults:
    return replace(config, shell=instruction.words)


def _on_build(config: ContainerDefaults, instruction: ins.OnBuild, word: Word) -> ContainerDefaults:
    return replace(config, on_build=(*config.on_build, instruction.expression))


_CHANGES: dict[type, Callable[[ContainerDefaults, Any, Word], ContainerDefaults]] = {
    ins.Label: _label,
    ins.Expose: _expose,
    ins.Volume: _volume,
    ins.User: _user,
    ins.StopSignal: _stop_signal,
    ins.Healthcheck: _healthcheck,
    ins.Shell: _shell,
    ins.OnBuild: _on_build,
}
