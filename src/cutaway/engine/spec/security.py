"""Privileges of a container: capabilities and the filter of system calls."""

import functools
import json
import os
from typing import Any

from cutaway.engine.spec.confinement import BUILTIN, UNCONFINED, Confinement
from cutaway.engine.spec.intent import Machine
from cutaway.errors import InvalidParameter
from cutaway.model import HostConfig
from cutaway.oci.runtime_spec import Seccomp
from cutaway.security import capabilities, seccomp


def plan_capabilities(host: HostConfig, machine: Machine) -> tuple[str, ...]:
    """Decide the capabilities, of those this machine can grant.

    Raises:
        InvalidParameter: ``invalid CapAdd: unknown capability: "CAP_X"``.
    """
    wanted = capabilities.plan_capabilities(
        host.cap_add or (), host.cap_drop or (), privileged=host.privileged
    )
    return tuple(name for name in wanted if name in machine.all_capabilities)


def plan_seccomp(confinement: Confinement, granted: tuple[str, ...]) -> Seccomp | None:
    """Decide the filter of system calls; None for ``seccomp=unconfined``.

    Raises:
        InvalidParameter: the profile is no seccomp profile.
    """
    if confinement.seccomp == UNCONFINED:
        return None
    return _resolve(confinement.seccomp, granted, os.uname().machine, os.uname().release)


@functools.lru_cache(maxsize=32)
def _resolve(source: str, granted: tuple[str, ...], machine: str, release: str) -> Seccomp:
    return seccomp.resolve_profile(
        _profile(source),
        granted,
        machine=machine,
        kernel=seccomp.parse_kernel_version(release),
    )


def _profile(source: str) -> dict[str, Any]:
    if source == BUILTIN:
        return seccomp.default_profile()
    text = source
    if source.startswith("/"):  # the daemon's --seccomp-profile
        try:
            with open(source, encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise InvalidParameter(f"opening seccomp profile failed: {error}") from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(f"Decoding seccomp profile failed: {error}") from None
    if not isinstance(document, dict):
        raise InvalidParameter("Decoding seccomp profile failed: it is not a JSON object")
    return document
