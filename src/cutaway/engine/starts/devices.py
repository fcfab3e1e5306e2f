"""Devices of this machine that a container is to have: looked up, never made.

Source: moby ``daemon/oci_linux.go`` ``WithDevices``, ``devicesFromPath``.
"""

import os
import stat
from collections.abc import Iterable, Iterator

from cutaway.engine.spec.intent import HostDevice
from cutaway.errors import InvalidParameter
from cutaway.model import DeviceMapping, HostConfig, Resources

# Not devices of the machine but of whoever looks: a container has its own.
_NOT_LISTED = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
_NOT_SHARED = frozenset({"/dev/console", "/dev/ptmx"})


def find_devices(host: HostConfig) -> tuple[HostDevice, ...]:
    """Return the devices of ``--device``, or all of the machine's for ``--privileged``.

    Raises:
        InvalidParameter: a named one does not exist or is no device.
    """
    devices: dict[str, HostDevice] = {}
    if host.privileged:
        devices = {device.path: device for device in _walk("/dev", "/dev", "rwm")}
    for mapping in host.devices or ():
        devices |= {device.path: device for device in _mapped(mapping)}
    return tuple(devices.values())


def _mapped(mapping: DeviceMapping) -> Iterable[HostDevice]:
    source = mapping.path_on_host
    target = mapping.path_in_container or source
    access = mapping.cgroup_permissions or "rwm"
    if not set(access) <= set("rwm"):
        raise InvalidParameter(f"invalid device mode: {access}")
    if not target.startswith("/"):
        raise InvalidParameter(f"{target} is not an absolute path")
    try:
        found = os.stat(source)
    except OSError as error:
        reason = f'error gathering device information while adding custom device "{source}"'
        raise InvalidParameter(f"{reason}: {error.strerror}") from None
    if stat.S_ISDIR(found.st_mode):
        return _walk(source, target, access)
    device = _device(target, found, access)
    if device is None:
        raise InvalidParameter(
            f'error gathering device information while adding custom device "{source}": '
            "not a device node"
        )
    return (device,)


def _device(path: str, found: os.stat_result, access: str) -> HostDevice | None:
    if stat.S_ISCHR(found.st_mode):
        kind = "c"
    elif stat.S_ISBLK(found.st_mode):
        kind = "b"
    else:
        return None
    return HostDevice(
        path=path,
        type=kind,
        major=os.major(found.st_rdev),
        minor=os.minor(found.st_rdev),
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        access=access,
    )


def _walk(source: str, target: str, access: str) -> Iterator[HostDevice]:
    for directory, subdirectories, names in os.walk(source):
        subdirectories[:] = [name for name in subdirectories if name not in _NOT_LISTED]
        for name in names:
            path = f"{directory}/{name}"
            if path in _NOT_SHARED:
                continue
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                continue
            device = _device(target + path.removeprefix(source), found, access)
            if device is not None:
                yield device


def find_block_devices(limits: Resources) -> dict[str, tuple[int, int]]:
    """Return the numbers of the devices that block I/O limits name.

    Raises:
        InvalidParameter: one does not exist.
    """
    named = [weight.path for weight in limits.blkio_weight_device or ()]
    for throttles in (
        limits.blkio_device_read_bps,
        limits.blkio_device_write_bps,
        limits.blkio_device_read_iops,
        limits.blkio_device_write_iops,
    ):
        named += [throttle.path for throttle in throttles or ()]
    numbers: dict[str, tuple[int, int]] = {}
    for path in named:
        try:
            device = os.stat(path).st_rdev
        except OSError as error:
            raise InvalidParameter(f"no such device: {path}: {error.strerror}") from None
        numbers[path] = (os.major(device), os.minor(device))
    return numbers
