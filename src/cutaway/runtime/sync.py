"""The conversation between the parent (shim), a container's maker and its init.

A SOCK_SEQPACKET pair, so that a message is never cut; each starts with one letter:

====== =========== ======================================= =================================
letter from        meaning                                 carries
====== =========== ======================================= =================================
``I``  maker       the init is made                        JSON: pid, ExecContext, warnings;
                                                           fds: pidfd, mount namespace
``W``  maker       to the init: what it will have to do    see ``birth``
``J``  maker       to the init: join these and do it       see ``birth``
``u``  maker       all done from outside (id maps, …), and the shim knows
``T``  init        times of the steps done so far          bytes, see ``journal``
``P``  init        prepared: only ``execve`` is missing    fd: the pty's master, if any; times
``G``  parent      go
``X``  init        about to call ``execve``                times
``E``  init        failed; it ends                         JSON of the RuntimeFailure
====== =========== ======================================= =================================

The maker holds copies of both ends: it speaks to the shim by the init's end until the init can
speak for itself, and to the init by the parent's. The init's end is close-on-exec, so the parent
reads the end of the stream when ``execve`` succeeded; after ``X`` without an ``E`` that is
success, without ``X`` the init was killed.
"""

import array
import contextlib
import os
import socket

_MAX_MESSAGE = 1 << 18
_MAX_FDS = 253  # SCM_MAX_FD
_INT_SIZE = array.array("i").itemsize


class SyncSocket:
    """One end of the pair, by its descriptor."""

    __slots__ = ("_socket", "fd")

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.fd = connection.fileno()

    def send(self, letter: str, payload: bytes = b"", fds: tuple[int, ...] = ()) -> None:
        """Send one message with copies of ``fds``.

        Raises:
            BrokenPipeError: the other side is gone.
        """
        data = letter.encode() + payload
        if not fds:
            # write(2) rather than sendmsg(2): a seccomp profile that allows any output allows it
            os.write(self.fd, data)
            return
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
        self._socket.sendmsg([data], [rights])

    def receive(self) -> tuple[str, bytes, list[int]]:
        """Return the next message as ``(letter, payload, fds)``; the letter is empty at the end.

        The descriptors are close-on-exec and the caller's own.
        """
        space = socket.CMSG_SPACE(_MAX_FDS * _INT_SIZE)
        flags = socket.MSG_CMSG_CLOEXEC
        try:
            data, ancillary, _, _ = self._socket.recvmsg(_MAX_MESSAGE, space, flags)
        except ConnectionResetError:
            # The other side ended with messages of ours unread; the kernel says so once, before
            # it hands out what the other side had still to say.
            data, ancillary, _, _ = self._socket.recvmsg(_MAX_MESSAGE, space, flags)
        fds = array.array("i")
        for _, _, payload in ancillary:
            fds.frombytes(payload[: len(payload) - len(payload) % _INT_SIZE])
        return data[:1].decode(), data[1:], list(fds)

    def has_message(self) -> bool:
        """Wait for a message and leave it where it is; False at the end."""
        return bool(self._socket.recv(1, socket.MSG_PEEK))

    def read_letter(self) -> str:
        """Return the next message's letter by read(2) alone; empty at the end."""
        return os.read(self.fd, 16)[:1].decode()

    def set_timeout(self, timeout_s: float) -> None:
        """Let ``receive`` raise TimeoutError when nothing comes for so long."""
        self._socket.settimeout(timeout_s)

    def shut_down(self) -> None:
        """End the conversation for every process that holds an end; harmless when it is over."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end; harmless twice."""
        self._socket.close()


def make_sync_pair() -> tuple[SyncSocket, SyncSocket]:
    """Return ``(parent's end, init's end)``, both close-on-exec."""
    parent, init = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return SyncSocket(parent), SyncSocket(init)
