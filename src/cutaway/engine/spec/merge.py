"""What the image proposes and the request decides, joined into one configuration.

Source: moby ``daemon/commit.go`` ``merge`` (used by create and by commit).
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cutaway.errors import InvalidParameter
from cutaway.model import ContainerConfig, HealthConfig
from cutaway.oci import ContainerDefaults
from cutaway.oci import HealthConfig as ImageHealth


def merge_image(config: ContainerConfig, image: ContainerDefaults) -> ContainerConfig:
    """Return the request with everything it left open taken from the image.

    The image's ``cmd`` counts only while the request names no entrypoint of its own.
    """
    cmd, entrypoint = config.cmd, config.entrypoint
    if not entrypoint:
        if not cmd:
            cmd = image.cmd
        if entrypoint is None:
            entrypoint = image.entrypoint
    return replace(
        config,
        user=config.user or image.user,
        exposed_ports=_union(image.exposed_ports, config.exposed_ports),
        env=merge_env(config.env or (), image.env),
        labels=_union(image.labels, config.labels) or {},
        cmd=cmd,
        entrypoint=entrypoint,
        args_escaped=config.args_escaped or image.args_escaped,
        healthcheck=merge_health(config.healthcheck, image.healthcheck),
        working_dir=config.working_dir or image.working_dir,
        volumes=_union(image.volumes, config.volumes),
        stop_signal=config.stop_signal or image.stop_signal,
    )


def _union(
    image: Mapping[str, Any] | None, request: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    return {**(image or {}), **(request or {})} or None


def merge_env(request: tuple[str, ...], image: tuple[str, ...]) -> tuple[str, ...]:
    """Return the request's variables followed by those of the image that it doesn't name."""
    named = {entry.partition("=")[0] for entry in request}
    return request + tuple(entry for entry in image if entry.partition("=")[0] not in named)


def merge_health(request: HealthConfig | None, image: ImageHealth | None) -> HealthConfig | None:
    """Return the check to run: fields that the request leaves at zero are the image's."""
    if image is None:
        return request
    asked = request or HealthConfig()
    return HealthConfig(
        test=asked.test or image.test or None,
        interval=asked.interval or image.interval,
        timeout=asked.timeout or image.timeout,
        start_period=asked.start_period or image.start_period,
        start_interval=asked.start_interval or image.start_interval,
        retries=asked.retries or image.retries,
    )


def complete(config: ContainerConfig) -> ContainerConfig:
    """Drop an entrypoint that was cleared by ``--entrypoint ""`` and see that a command is left.

    Raises:
        InvalidParameter: neither the image nor the request says what to run.
    """
    if config.entrypoint == ("",):
        config = replace(config, entrypoint=None)
    if not config.entrypoint and not config.cmd:
        raise InvalidParameter("no command specified")
    return config


def command_line(config: ContainerConfig) -> tuple[str, ...]:
    """Return argv: the entrypoint, if any, with the command as its arguments."""
    return (config.entrypoint or ()) + (config.cmd or ())
