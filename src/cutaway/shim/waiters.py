"""Pending ``POST /containers/ID/wait`` connections that outlive the engine.

While the engine lives it answers them itself. The shim keeps a copy of each socket and answers in
the engine's place when a container's end was not acknowledged before the engine's connection
ended.
"""

import contextlib
import os
import socket
from dataclasses import dataclass


@dataclass(slots=True)
class _Waiter:
    fd: int
    condition: str
    template: bytes
    due_seq: int = 0  # the `exited` event that answers it
    exit_code: int = 0


class Waiters:
    """The connections, and which end each of them waits for."""

    def __init__(self) -> None:
        self._waiters: list[_Waiter] = []

    def add(self, fd: int, condition: str, template: bytes) -> None:
        """Keep a connection; the descriptor is now the list's own."""
        self._waiters.append(_Waiter(fd, condition, template))

    @property
    def can_rest(self) -> bool:
        """Nobody waits; those who have hung up meanwhile are forgotten."""
        for waiter in tuple(self._waiters):
            if _has_hung_up(waiter.fd):
                self._forget(waiter)
        return not self._waiters

    def container_ended(self, seq: int, exit_code: int, *, restarting: bool) -> None:
        """Note the answer of everyone whose condition this end fulfils."""
        for waiter in self._waiters:
            if not waiter.due_seq and (waiter.condition == "next-exit" or not restarting):
                waiter.due_seq, waiter.exit_code = seq, exit_code

    def engine_acknowledged(self, seq: int) -> None:
        """The engine has answered everyone who was due up to that event."""
        for waiter in tuple(self._waiters):
            if waiter.due_seq and waiter.due_seq <= seq:
                self._forget(waiter)

    def engine_gone(self) -> None:
        """Answer everyone who is due."""
        for waiter in tuple(self._waiters):
            if waiter.due_seq:
                _answer(waiter)
                self._forget(waiter)

    def close(self) -> None:
        """Forget everyone."""
        for waiter in tuple(self._waiters):
            self._forget(waiter)

    def _forget(self, waiter: _Waiter) -> None:
        self._waiters.remove(waiter)
        os.close(waiter.fd)


def _has_hung_up(fd: int) -> bool:
    """Say whether a client has closed its connection: ``docker run -d`` asks, and goes at once."""
    connection = socket.socket(fileno=os.dup(fd))
    with connection:
        try:
            return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:  # ECONNRESET
            return True


def _answer(waiter: _Waiter) -> None:
    answer = waiter.template % waiter.exit_code
    connection = socket.socket(fileno=os.dup(waiter.fd))
    # A client that has gone, or takes no 100 bytes, gets no answer.
    with connection, contextlib.suppress(OSError):
        connection.sendmsg([answer], (), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
        connection.shutdown(socket.SHUT_WR)
