"""Which runtime makes a container, and what all runtimes of a launcher share."""

import json
from dataclasses import dataclass
from typing import Any

from cutaway.runtime import HostFacts, SeccompCache
from cutaway.shim.protocol import Launch
from cutaway.shim.runtimes.builtin import BuiltinRuntime
from cutaway.shim.runtimes.external import ExternalRuntimeDriver


@dataclass(frozen=True, slots=True)
class RuntimeSupport:
    """What the launcher has ready before it forks.

    Attributes:
        facts: what this host can do.
        seccomp: compiled programs.
    """

    facts: HostFacts
    seccomp: SeccompCache


def read_config(bundle: str) -> dict[str, Any]:
    """Return the bundle's config.json.

    Raises:
        FileNotFoundError, ValueError: the engine has not written one.
    """
    with open(f"{bundle}/config.json", "rb") as file:
        document = json.loads(file.read())
    if not isinstance(document, dict):
        raise ValueError(f"{bundle}/config.json is no JSON object")
    return document


def choose_runtime(
    launch: Launch, support: RuntimeSupport
) -> BuiltinRuntime | ExternalRuntimeDriver:
    """Return a new driver for one run of PID 1."""
    if launch.runtime is not None:
        return ExternalRuntimeDriver(launch.container_id, launch.bundle, launch.runtime)
    return BuiltinRuntime(
        launch.container_id, launch.bundle, facts=support.facts, seccomp=support.seccomp
    )
