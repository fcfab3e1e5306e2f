"""The template: a process that does nothing but fork keepers.

The problem: a page that forked processes share is copied by whoever writes to it first. What the
launcher writes at each launch it would take away from the keepers forked before: each of them
would be left with an old copy of its own.

The model: the launcher forks a template as soon as its memory is whole and frozen. The template
runs the same few lines for each keeper, which becomes the launcher's child (CLONE_PARENT). It ends
with the launcher.
"""

import os
import signal
import socket
from typing import NoReturn

from cutaway import linux
from cutaway.linux.abi import CLONE, PR
from cutaway.shim import wire
from cutaway.shim.keeper import Between, keep, keep_only
from cutaway.shim.prepared import RuntimeSupport
from cutaway.shim.serving import be_shims, be_woken

_TITLE = "cutaway: template"
_WORD_BYTES = 16
_IN_HASTE, _IN_TIME = b"h", b"t"


class Template:
    """The launcher's hold on its template.

    Attributes:
        pid: a child of the launcher.
    """

    def __init__(self, support: RuntimeSupport) -> None:
        self._support = support
        self.start()

    def start(self) -> None:
        """Fork the template: the first, or another when the one before was killed."""
        self._socket, theirs = wire.pair()
        with theirs:
            self.pid = linux.fork()
            if self.pid == 0:
                _serve(theirs, self._support)

    def fork_keeper(self, connection: socket.socket, *, in_haste: bool) -> int:
        """Make a keeper, whose shim waits for containers on ``connection``; return its pid.

        Args:
            connection: the caller closes its own copy.
            in_haste: a container waits already.

        Raises:
            OSError: no process could be made.
        """
        word = _IN_HASTE if in_haste else _IN_TIME
        try:
            return self._ask(word, connection)
        except ConnectionError:  # it was killed just now
            self.start()
            return self._ask(word, connection)

    def _ask(self, word: bytes, connection: socket.socket) -> int:
        state_read, state_write = wire.pair()
        with state_read, state_write:
            fds = [item.fileno() for item in (connection, state_read, state_write)]
            socket.send_fds(self._socket, [word], fds, socket.MSG_NOSIGNAL)
            answer = self._socket.recv(_WORD_BYTES)
        if not answer:
            raise ConnectionResetError("the template has ended")
        pid = int(answer)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid), "clone3")
        return pid


def _serve(requests: socket.socket, support: RuntimeSupport) -> NoReturn:
    """Be the template, until the launcher has ended."""
    try:
        linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)
        keep_only(requests.fileno())
        os.dup2(0, 2)
        linux.set_process_title(_TITLE)
        while True:
            word, fds, _, _ = socket.recv_fds(requests, _WORD_BYTES, 3)
            if not word:
                break
            support.seccomp.refresh()
            requests.send(b"%d" % _fork_keeper(requests, fds, support, in_haste=word == _IN_HASTE))
            for fd in fds:
                os.close(fd)
    finally:
        os._exit(0)


def _fork_keeper(
    requests: socket.socket, fds: list[int], support: RuntimeSupport, *, in_haste: bool
) -> int:
    """Return the keeper's pid, or the negative errno."""
    try:
        pid, pidfd = linux.clone3(CLONE.PARENT)
    except OSError as error:
        return -(error.errno or 1)
    if pid == 0:
        os.close(requests.fileno())
        connection_fd, state_read, state_write = fds

        def be_shim(between: Between, is_first: bool) -> NoReturn:
            if is_first:
                be_shims(connection_fd, between, support, in_haste=in_haste)
            be_woken(between, support)

        keep(be_shim, connection_fd, (state_read, state_write))
    os.close(pidfd)
    return pid
