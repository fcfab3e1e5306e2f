"""The nodes and links of a container's ``/dev``. Pure."""

import os

from cutaway.oci.runtime_spec import Device, Linux
from cutaway.runtime.scope import InitScope
from cutaway.runtime.steps.devices import BindDevice, MakeDevice, MakeSymlink
from cutaway.runtime.steps.sources import OpenBindSource
from cutaway.steps import Step

InitStep = Step[InitScope]

# "the runtime MUST also supply the following" (config-linux.md "Default Devices").
DEFAULT_DEVICES = (
    Device("c", "/dev/null", 1, 3, 0o666),
    Device("c", "/dev/zero", 1, 5, 0o666),
    Device("c", "/dev/full", 1, 7, 0o666),
    Device("c", "/dev/random", 1, 8, 0o666),
    Device("c", "/dev/urandom", 1, 9, 0o666),
    Device("c", "/dev/tty", 5, 0, 0o666),
)
DEFAULT_LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
)
_DEVICE_SOURCES_FROM = 10_000  # indexes of device sources, apart from those of mounts


def merge_devices(linux: Linux) -> tuple[Device, ...]:
    """Return the default devices and those asked for; a path asked for replaces the default."""
    merged = {device.path: device for device in DEFAULT_DEVICES}
    for device in linux.devices:
        merged[os.path.normpath(device.path)] = device
    return tuple(merged.values())


def plan_devices(devices: tuple[Device, ...], in_user_namespace: bool) -> tuple[InitStep, ...]:
    """Return the steps that make ``/dev``'s nodes and links; a user namespace gets binds."""
    steps: list[InitStep] = []
    for number, device in enumerate(devices):
        why = "default" if device in DEFAULT_DEVICES else "runtime-spec linux.devices"
        if in_user_namespace:
            index = _DEVICE_SOURCES_FROM + number
            steps.append(BindDevice(index=index, path=device.path, why=why))
            continue
        steps.append(
            MakeDevice(
                path=os.path.normpath(device.path),
                kind=device.type,
                major=device.major,
                minor=device.minor,
                mode=0o666 if device.file_mode is None else device.file_mode & 0o7777,
                uid=device.uid or 0,
                gid=device.gid or 0,
                why=why,
            )
        )
    steps += (MakeSymlink(path=p, target=t, why="default") for p, t in DEFAULT_LINKS)
    return tuple(steps)


def open_devices(devices: tuple[Device, ...]) -> tuple[OpenBindSource, ...]:
    """Return the steps that take hold of the host's nodes, for a user namespace."""
    return tuple(
        OpenBindSource(
            index=_DEVICE_SOURCES_FROM + number,
            source=device.path,
            is_recursive=False,
            why="mknod(2) is forbidden in a user namespace",
        )
        for number, device in enumerate(devices)
    )
