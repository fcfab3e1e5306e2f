"""Volumes on a server, ``type=nfs`` or ``cifs``: its name looked up, its silence explained.

mount(2) takes no names: mount(8)'s helpers look them up, and an engine does without these.

Docker's counterpart: ``volume/local/local_unix.go``.
"""

import errno
import re
import socket
from collections.abc import Callable
from dataclasses import replace

from cutaway.linux import KernelError
from cutaway.volumes.errors import ServerUnknown
from cutaway.volumes.local.steps import MountDisk, MountVolume

_TYPES = ("nfs", "nfs4", "cifs", "smb3")
_ADDRESS = "addr="
_HOST = re.compile(r"//([^/]+)/|\[([^]]+)\]:|([^:/]+):")  # //HOST/share, [HOST]:/path, HOST:/path
_SECRET = re.compile(r"(pass(?:word)?2?=)[^,\"]*")
_SILENCE = (errno.ECONNREFUSED, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)


def look_up(name: str) -> str:
    """Return an address of a host, of IPv4 if it has one.

    Raises:
        ServerUnknown: nobody knows the name.
    """
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServerUnknown(name, error.strerror or str(error)) from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


def resolve_server(
    step: MountVolume | MountDisk, look_up: Callable[[str], str] = look_up
) -> MountVolume | MountDisk:
    """Replace the name of ``addr=NAME`` by its address; without one, the device says the host.

    Raises:
        ServerUnknown: nobody knows the name.
    """
    if isinstance(step, MountDisk) or step.fstype not in _TYPES:
        return step
    words = [word for word in step.data.split(",") if word]
    named = [word for word in words if word.startswith(_ADDRESS)]
    match = _HOST.match(step.device)
    host = named[-1].removeprefix(_ADDRESS) if named else match and match[match.lastindex or 0]
    if not host:
        return step
    rest = [word for word in words if word not in named]
    return replace(step, data=",".join((*rest, _ADDRESS + look_up(host))))


def explain_failure(step: MountVolume | MountDisk, error: OSError) -> str:
    """Say why a volume's file system could not be mounted, and what to look at."""
    told = _SECRET.sub(r"\1********", str(error))
    if isinstance(step, MountDisk) or not isinstance(error, KernelError):
        return told
    failed = f"failed to mount local volume: mount {step.device} ({step.fstype or 'bind'})"
    reason = (error.strerror or "").lower()
    if error.errno == errno.ENODEV and step.fstype:
        return f"{failed}: this kernel has no file system {step.fstype}"
    if step.fstype not in _TYPES:
        return told
    address = next((w for w in step.data.split(",") if w.startswith(_ADDRESS)), _ADDRESS)
    server = address.removeprefix(_ADDRESS)
    if error.errno in _SILENCE:
        asked = " (by version 3, as o= says no vers=4)" if _is_version_3(step) else ""
        return f"{failed}: no server answers at {server}{asked}: {reason}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.ENOENT):
        return f"{failed}: the server {server} does not give it to this host: {reason}"
    return told


def _is_version_3(step: MountVolume) -> bool:
    """Say whether the kernel asks a portmapper, which a server of version 4 does without."""
    return step.fstype == "nfs" and "vers=" not in step.data
