"""A build as its request asks for it: checked, and said in the builder's terms."""

from typing import Any

import msgspec

from cutaway.build.dockerfile.frontend import BuildOptions
from cutaway.build.service import BuildJob
from cutaway.build.solve.command import HOST_NETWORK, INSECURE, CommandSettings
from cutaway.engine.building.sessions import Lent, Sessions
from cutaway.engine.spec.intent import Machine
from cutaway.engine.validate import validate_host_config
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported
from cutaway.images.assemble import this_platform
from cutaway.model import BuildRequest, ContainerConfig, HostConfig
from cutaway.oci import Platform, Reference

_ENTITLEMENTS = (INSECURE, HOST_NETWORK)
_LIMITS = (
    "memory", "memory_swap", "cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus",
    "cpuset_mems", "cgroup_parent", "shm_size", "ulimits", "security_opt", "isolation",
)  # fmt: skip


def read_job(request: BuildRequest, sessions: Sessions, machine: Machine) -> BuildJob:
    """Return the job of a request, all but its Dockerfile and its cache.

    Args:
        request: checked here, so that what can't be is refused before the context is read.
        sessions: what the request's session has lent is taken.
        machine: what containers can be given.

    Raises:
        InvalidParameter: something that can't be. NotImplemented: BuildKit, or another output.
        NotFound: the session is over.
    """
    if request.version == "2":
        raise Unsupported(
            "BuildKit's protocol is not supported: set DOCKER_BUILDKIT=0 to use the classic "
            "builder, or use `cutaway build`"
        )
    _check_outputs(request.outputs)
    _check_own(request)
    limits = {name: value for name in _LIMITS if (value := getattr(request, name))}
    network = request.network_mode or "default"
    asked = HostConfig(network_mode=network, extra_hosts=request.extra_hosts, **limits)
    validate_host_config(ContainerConfig(), asked, machine)
    return BuildJob(
        dockerfile="",
        options=BuildOptions(
            target=request.target,
            build_args=request.build_args,
            labels=request.labels,
            platform=_platform(request.platform),
            network=network,
        ),
        tags=tuple(Reference.parse(tag).with_default_tag() for tag in request.tags if tag),
        use_cache=not request.no_cache,
        quiet=request.quiet,
        explain=request.explain,
        tells_records=request.tell_records,
        as_story=request.story,
        squash=request.squash,
        commands=_commands(request, limits, sessions.take(request.session_id)),
    )


def _commands(request: BuildRequest, limits: dict[str, Any], lent: Lent) -> CommandSettings:
    return CommandSettings(
        limits=limits,
        extra_hosts=request.extra_hosts,
        secrets=lent.secrets,
        agents=lent.agents,
        entitlements=frozenset(request.allow),
        offers_shell=request.on_error == "shell",
    )


def _check_own(request: BuildRequest) -> None:
    for name in request.allow:
        if name not in _ENTITLEMENTS:
            known = ", ".join(_ENTITLEMENTS)
            raise InvalidParameter(f"unknown entitlement {name}: it is one of {known}")
    if request.on_error not in {"", "shell"}:
        raise InvalidParameter(f"unknown way to go on after an error: {request.on_error}")


def _check_outputs(text: str) -> None:
    """Refuse exporters: the image itself is the result, which clients can export."""
    if not text:
        return
    try:
        outputs = msgspec.json.decode(text.encode("utf-8", "surrogatepass"), type=list[Any])
        kinds = [str(output.get("Type", "")) for output in outputs]
    except (msgspec.DecodeError, AttributeError):
        raise InvalidParameter(f"invalid outputs: {text}") from None
    for kind in kinds:
        if kind not in {"image", "docker", "moby"}:
            raise Unsupported(
                f"the classic builder can't make the output {kind!r}: its result is an image, "
                "which `docker save` writes as an archive, and `docker export` a container of it"
            )


def _platform(text: str) -> Platform:
    """Read ``--platform``; empty is this machine's."""
    return Platform.parse(text).normalized() if text else this_platform()
