"""One value to be written into one file of a container's cgroup."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """What one limit becomes in the cgroup file system.

    Attributes:
        controller: which hierarchy: the one that has this controller.
        files: the file's name in the cgroup; further names are what other kernels call it, the
            first that exists is written.
        value: the text written.
        why: the field of config.json that asked for it.
    """

    controller: str
    files: tuple[str, ...]
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class ResourcePlan:
    """All limits of a container as settings, in the order they must be written.

    Attributes:
        settings: to be written one after the other.
        device_program: the eBPF program that decides about devices (cgroup v2), or None.
        warnings: limits that this kind of cgroup does not know and that harm nobody; sentences.
    """

    settings: tuple[Setting, ...]
    device_program: bytes | None = None
    warnings: tuple[str, ...] = ()
