"""Sockets: who is at the other end, whose namespace, descriptors passed along close-on-exec."""

import array
import fcntl
import os
import socket
import struct

_INT_SIZE = array.array("i").itemsize
_SIOCGSKNS = 0x894C


def peer_credentials(connection: socket.socket) -> tuple[int, int, int]:
    """Return ``(pid, uid, gid)`` of the process that connected: SO_PEERCRED, unix(7)."""
    size = struct.calcsize("3i")
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, uid, gid = struct.unpack("3i", data)
    return pid, uid, gid


def network_namespace_of(fd: int) -> int:
    """Return a new descriptor of the network namespace a socket was made in: SIOCGSKNS.

    Raises:
        OSError: EPERM (CAP_NET_ADMIN is missing in it), ENOTTY (no socket).
    """
    namespace = fcntl.ioctl(fd, _SIOCGSKNS)
    fcntl.fcntl(namespace, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    return namespace


def send_fds(connection: socket.socket, data: bytes, fds: list[int] | tuple[int, ...]) -> int:
    """Send ``data``, which must not be empty, with copies of ``fds``: SCM_RIGHTS, unix(7)."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    return connection.sendmsg([data], ancillary)


def recv_fds(
    connection: socket.socket, size: int, max_fds: int = 16, flags: int = 0
) -> tuple[bytes, list[int]]:
    """Receive data and descriptors, the latter close-on-exec.

    ``socket.recv_fds`` ignores its flags, so what it receives would be inherited by the next exec.

    Returns:
        ``(data, fds)``; empty data is the end of the stream.

    Raises:
        ValueError: the peer sent more than ``max_fds`` descriptors or ``size`` bytes of a
            packet; all that came are closed.
    """
    space = socket.CMSG_SPACE(max_fds * _INT_SIZE)
    data, ancillary, message_flags, _ = connection.recvmsg(
        size, space, flags | socket.MSG_CMSG_CLOEXEC
    )
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % _INT_SIZE])
    if message_flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        for fd in fds:
            os.close(fd)
        raise ValueError(f"a message of more than {size} bytes or {max_fds} descriptors")
    return data, list(fds)
