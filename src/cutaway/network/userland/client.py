"""The engine's side: start the process, or find the one that lives, and tell it what to serve.

Telling never blocks the start of a container for long: messages go into the socket's buffer and
are without answer. A process that died is started anew at the next ``ensure``, and then told
everything (the controller's ``_tell_all``).
"""

import os
import select
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from cutaway.network.userland import protocol
from cutaway.network.userland.protocol import AskDenied, Denied, Hello, Message, Quit, State
from cutaway.steps import Ledger, Step

_TIMEOUT_S = 5.0
SOCKET_NAME = "userland.sock"


def listen(path: str) -> socket.socket:
    """Return the socket that engines connect to; the directory lets only root in."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(4)
    return listener


@dataclass(frozen=True, slots=True, kw_only=True)
class StartProcess(Step[None]):
    """Start the userland process.

    Its listening socket is made here and inherited, so that an engine (this one, or the next if
    this one is killed at once) can connect before the process is up.
    """

    directory: str

    def _words(self) -> list[str]:
        return [sys.executable, "-I", "-m", "cutaway.network.userland"]

    def describe(self) -> str:
        """See ``Step``."""
        return "start the process that answers for names and relays loopback ports"

    def shell(self) -> str:
        """See ``Step``."""
        return f"# listen(AF_UNIX, SOCK_SEQPACKET); {shlex.join(self._words())} <socket &"

    def apply(self, scope: None) -> int:
        """Start it in a session of its own, so that it survives the engine.

        Raises:
            OSError: no process or descriptor to be had.

        Leaves behind: a process; ``Quit`` ends it.
        """
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        listener = listen(os.path.join(self.directory, SOCKET_NAME))
        log = os.open(
            os.path.join(self.directory, "userland.log"),
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC,
            0o600,
        )
        with listener:
            try:
                # posix_spawn, not fork: a big process with threads starts it (see STYLE.md).
                pid = os.posix_spawn(
                    sys.executable,
                    self._words(),
                    {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")},
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, listener.fileno(), 0),
                        (os.POSIX_SPAWN_DUP2, log, 1),
                        (os.POSIX_SPAWN_DUP2, log, 2),
                    ],
                    setsid=True,
                    setsigmask=(),
                    setsigdef=(signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE),
                )
            finally:
                os.close(log)
        _children.add(pid)
        return pid


# Nobody waits for them: they outlive the engine. While it lives, ``reap`` collects the dead.
_children: set[int] = set()


def reap() -> None:
    """Collect the userland processes of this engine that have ended."""
    for pid in list(_children):
        try:
            done, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            done = pid
        if done:
            _children.discard(pid)


class UserlandClient:
    """Speaks to the one userland process of a run directory.

    The controller's lock guards it, but for ``tell``: any thread may do that.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._connection: socket.socket | None = None
        self._sending = threading.RLock()
        self.pid = 0

    @property
    def is_connected(self) -> bool:
        """There is a process, as far as is known."""
        return self._connection is not None

    def find(self) -> State | None:
        """Connect to a process that lives from an earlier engine.

        Returns:
            What it has, or None when there is none, or one of another version: that is ended.
        """
        try:
            connection = self._connect()
        except OSError:
            return None
        try:
            protocol.send(connection, Hello())
            received = protocol.receive(connection)
        except (OSError, ValueError):
            connection.close()
            return None
        state = received[0] if received else None
        if not isinstance(state, State) or state.version != protocol.VERSION:
            with suppress(OSError):
                protocol.send(connection, Quit())
            connection.close()
            return None
        self._connection = connection
        self.pid = state.pid
        return state

    def start(self, ledger: Ledger) -> None:
        """Start a new process; messages may be sent at once, it reads them when it is up.

        Raises:
            OSError: no Python, no process, no descriptor to be had.
        """
        self.close()
        step = StartProcess(why="names and ports", directory=self._directory)
        self.pid = ledger.apply(step, None)
        self._connection = self._connect()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(_TIMEOUT_S)
        try:
            connection.connect(os.path.join(self._directory, SOCKET_NAME))
        except BaseException:
            connection.close()
            raise
        return connection

    def tell(self, message: Message, fds: Sequence[int] = ()) -> bool:
        """Send one message.

        Returns:
            False when nobody is there to read it: the process died.
        """
        with self._sending:
            if self._connection is None:
                return False
            try:
                protocol.send(self._connection, message, fds)
            except OSError:
                self.close()
                return False
            return True

    def ask_denied(self, sandbox_id: str) -> Denied:
        """Ask what a sandbox's egress policy refused; nothing when nobody is there to say."""
        answer = self._ask(AskDenied(id=sandbox_id))
        return answer if isinstance(answer, Denied) else Denied()

    def settle(self) -> None:
        """Wait until all that was told is done: an answer comes after it."""
        self._ask(Hello())

    def _ask(self, message: Message) -> Message | None:
        if not self.tell(message) or self._connection is None:
            return None
        try:
            received = protocol.receive(self._connection)
        except (OSError, ValueError):
            self.close()
            return None
        return received[0] if received else None

    def is_alive(self) -> bool:
        """Look whether the process is still there: its end of the socket is open."""
        if self._connection is None:
            return False
        poll = select.poll()
        poll.register(self._connection, 0)  # hang-up and error are always told
        return not poll.poll(0)

    def close(self) -> None:
        """Let go of the process; it lives on."""
        with self._sending:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
