"""The launcher: a small process that has everything imported, and has a shim forked when asked.

The problem: forking the engine costs 20 ms and is unsafe with threads; starting Python anew for
each container costs more. The launcher has one thread; its template (``template.py``) forks a
keeper with its shim in a millisecond. Their memory is frozen (``gc.freeze``), so that all share
almost all of it.

A fork and the page faults behind it still take milliseconds, so two shims are forked ahead and
wait, idle, for a container; and a shim whose container has ended waits for the next one.

Run as ``python -I -m cutaway.shim.launcher FD [SECCOMP_CACHE_DIRECTORY]``: FD is the engine's
connection. It ends when the engine does, and the idle shims with it; the others live on.
"""

import gc
import os
import signal
import sys
from collections import deque
from dataclasses import dataclass

from cutaway import linux
from cutaway.runtime import SeccompCache, probe_host_facts, warm_up
from cutaway.shim import protocol, wire
from cutaway.shim.engine_link import describe_error
from cutaway.shim.keeper import keep_only
from cutaway.shim.loop import READABLE, WRITABLE, Loop, Timer
from cutaway.shim.prepared import RuntimeSupport
from cutaway.shim.protocol import Event, Launch, Ping, ProtocolError, Reply
from cutaway.shim.template import Template

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_COLLECT_EVERY = 200
_IDLE_SHIMS = 2
_MOST_IDLE_SHIMS = 8
_REFILL_DELAY_S = 0.02
_SPARE_S = 10.0


@dataclass(slots=True)
class _Busy:
    """A shim that owns a container, or its keeper.

    Attributes:
        channel: to the shim; at its end when that has ended, or is at rest.
        exit_code: of the keeper, None while it lives.
    """

    container_id: str
    channel: wire.Channel
    exit_code: int | None = None


class Launcher:
    """Serves one engine."""

    def __init__(self, engine_fd: int, template: Template) -> None:
        self._template = template
        self._loop = Loop(self._report)
        self._channel = wire.Channel.from_fd(engine_fd)
        self._shims: dict[int, _Busy] = {}
        self._idle: deque[tuple[int, wire.Channel]] = deque()
        self._is_refilling = False
        self._thinning: Timer | None = None
        self._launches = 0
        self._loop.on_child = self._child_ended
        self._loop.watch(engine_fd, READABLE, self._ready)

    def main(self) -> None:
        """Serve until the engine's end of the connection is closed."""
        self._loop.call_after(0, self._refill)
        self._loop.run()

    def _report(self, error: Exception) -> None:
        sys.stderr.write(f"cutaway launcher: {type(error).__name__}: {error}\n")

    def _ready(self, events: int) -> None:
        if events & WRITABLE:
            self._channel.flush()
        while (packet := self._channel.receive()) is not None:
            self._answer(packet)
        if self._channel.at_end:
            self._loop.stop()
            return
        self._watch()

    def _watch(self) -> None:
        events = READABLE | (WRITABLE if self._channel.wants_write else 0)
        self._loop.watch(self._channel.fileno(), events, self._ready)

    def _answer(self, packet: wire.Packet) -> None:
        request_id = 0
        try:
            message, request_id = protocol.decode(packet.document)
            if isinstance(message, Ping):
                result = {"pid": os.getpid(), "modules": len(sys.modules)}
            elif isinstance(message, Launch) and len(packet.fds) == 1:
                result = {"pid": self._launch(message, packet.fds[0])}
            else:
                raise ProtocolError(f"a launcher does not answer {message.type!r}")
            reply = Reply(request_id, result)
        except (
            Exception
        ) as error:  # the launcher's door: a request without a reply hangs the engine
            reply = Reply(request_id, error=describe_error(error))
        for fd in packet.fds:
            os.close(fd)
        self._channel.send(protocol.encode(reply))

    def _launch(self, launch: Launch, control_fd: int) -> int:
        while True:
            if not self._idle:
                self._fork_idle(in_haste=True)
            pid, channel = self._idle.pop()  # the warmest
            channel.send(protocol.encode(launch), (control_fd,))
            if not channel.at_end:
                break
            channel.close()
        self._shims[pid] = _Busy(launch.container_id, channel)
        self._loop.watch(channel.fileno(), READABLE, lambda events: self._shim_speaks(pid))
        self._launches += 1
        if not self._is_refilling:
            self._is_refilling = True
            self._loop.call_after(_REFILL_DELAY_S, self._refill)
        return pid

    def _shim_speaks(self, pid: int) -> None:
        """A shim is free, or has ended, or is at rest (its keeper's exit code will tell)."""
        busy = self._shims[pid]
        packet = busy.channel.receive()
        if packet is None and not busy.channel.at_end:
            return
        self._loop.unwatch(busy.channel.fileno())
        if packet is None:
            busy.channel.close()
            if busy.exit_code is not None:
                self._forget(pid, busy.exit_code)
            return
        self._forget(pid, 0)
        if len(self._idle) < _MOST_IDLE_SHIMS:
            self._idle.append((pid, busy.channel))
        else:
            busy.channel.close()
        self._thin_out_later()

    def _thin_out_later(self) -> None:
        if self._thinning is not None:
            self._thinning.cancel()
        self._thinning = self._loop.call_after(_SPARE_S, self._thin_out)

    def _thin_out(self) -> None:
        """Let spare shims end, when there was no need of them for a while."""
        while len(self._idle) > _IDLE_SHIMS:
            self._idle.popleft()[1].close()

    def _refill(self) -> None:
        """Fork shims ahead, when the one just launched has had its time on the processor."""
        self._is_refilling = False
        if self._launches >= _COLLECT_EVERY:
            self._launches = 0
            gc.collect()
        while len(self._idle) < _IDLE_SHIMS:
            self._fork_idle(in_haste=False)

    def _fork_idle(self, *, in_haste: bool) -> None:
        ours, theirs = wire.pair()
        with theirs:
            pid = self._template.fork_keeper(theirs, in_haste=in_haste)
        self._idle.append((pid, wire.Channel(ours)))

    def _child_ended(self, pid: int, exit_code: int, _: int) -> None:
        if pid == self._template.pid:
            self._template.start()
            return
        busy = self._shims.get(pid)
        if busy is None:
            return  # an idle one: its channel tells, when it is to be used
        busy.exit_code = exit_code
        if busy.channel.fileno() < 0:  # else its shim is only about to end: the channel will tell
            self._forget(pid, exit_code)

    def _forget(self, pid: int, exit_code: int) -> None:
        """Tell the engine that the shim has left its container."""
        facts = {
            "container_id": self._shims.pop(pid).container_id,
            "pid": pid,
            "exit_code": exit_code,
        }
        self._channel.send(protocol.encode(Event("shim_exited", facts=facts)))
        self._watch()


def main() -> None:
    """Prepare everything that a shim will need, then serve."""
    engine_fd = int(sys.argv[1])
    os.chdir("/")
    os.umask(0o022)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    keep_only(engine_fd)
    os.set_inheritable(engine_fd, False)
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1):
        os.dup2(null_fd, fd)
    os.close(null_fd)
    linux.find_process_title()
    linux.set_process_title("cutaway: launcher")
    seccomp_directory = sys.argv[2] if len(sys.argv) > 2 else None
    if seccomp_directory:
        os.makedirs(seccomp_directory, mode=0o700, exist_ok=True)
    support = RuntimeSupport(probe_host_facts(), SeccompCache(seccomp_directory))
    support.seccomp.refresh()
    warm_up(support.facts)
    gc.collect()
    gc.freeze()
    gc.disable()
    Launcher(engine_fd, Template(support)).main()


if __name__ == "__main__":
    main()
