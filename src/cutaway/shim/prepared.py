"""What is made before it is needed: by the launcher for all shims, by an idle shim for itself."""

import gc
import os
from dataclasses import dataclass

from cutaway.runtime import HostFacts, SeccompCache
from cutaway.runtime.maker import Maker
from cutaway.shim import protocol, wire
from cutaway.shim.io.streams import ProcessStreams
from cutaway.shim.logs.driver import LogDriver
from cutaway.shim.loop import READABLE, Loop
from cutaway.shim.protocol import Event, Launch, LogSettings, Reply
from cutaway.shim.sandbox import Sandbox

_MOST_LIVES = 100


@dataclass(frozen=True, slots=True)
class RuntimeSupport:
    """What the launcher has ready before it forks.

    Attributes:
        facts: what this host can do.
        seccomp: compiled programs.
    """

    facts: HostFacts
    seccomp: SeccompCache


class Prepared:
    """What an idle shim makes before it knows its container.

    Args:
        support: the launcher's.

    Attributes:
        loop: the shim's own.
        sandbox: once prepared, with a network namespace, which most containers want.
        maker: once prepared, the process that will make the container; None when it is used.
    """

    def __init__(self, support: RuntimeSupport) -> None:
        self._support = support
        self._lives = 0
        self._fds = 0
        self.loop = Loop(_raise)
        self.sandbox = Sandbox()
        self.maker: Maker | None = None

    def prepare(self, *, in_haste: bool) -> None:
        """Make what a container that is to come will need.

        Args:
            in_haste: it waits already: no rehearsal.
        """
        self.sandbox.create()
        self.maker = Maker.fork(self._support.facts, self._support.seccomp)
        if not in_haste:
            self._rehearse()
        self._fds = _open_fds()

    def renew(self) -> bool:
        """Be ready for another container; False when this process is used up.

        A fork and the page faults behind it are more than half of what a container costs, and
        this process has them behind it. It must be as it was: a descriptor more or less than at
        first, and the shim ends, as one that has served for long does.
        """
        self._lives += 1
        self.loop.reset()
        self.loop.on_error = _raise
        gc.collect()
        gc.disable()
        if self._lives >= _MOST_LIVES:
            return False
        self.sandbox = Sandbox()
        self.sandbox.create()
        if self.maker is None:
            self.maker = Maker.fork(self._support.facts, self._support.seccomp)
        return _open_fds() == self._fds

    def take_maker(self) -> Maker | None:
        """Return the maker for the first run; later runs fork their own."""
        maker, self.maker = self.maker, None
        return maker

    def keep_maker(self, maker: Maker | None) -> None:
        """Take back the maker of a run that has ended, for the next run or container."""
        self.maker = maker

    def drop_maker(self) -> None:
        """End the maker: the container is not the built-in runtime's."""
        maker = self.take_maker()
        if maker is not None:
            maker.close()

    def _rehearse(self) -> None:
        """Do once for nothing what a start will do.

        A fork shares its memory until it writes, and running code is writing: counts of
        references. Each page's first write costs some microseconds, here while nobody waits.
        """
        sample = Launch(
            "0" * 64, "/", "/", log=LogSettings(path="/"), network="own", terminal=False
        )
        ours, theirs = wire.pair()
        here, there = wire.Channel(ours), wire.Channel(theirs)
        self.loop.watch(there.fileno(), READABLE, lambda events: None)
        for message in (
            sample,
            protocol.Make(),
            protocol.Start(),
            Event("started", 1, 1, {"pid": 1}),
        ):
            here.send(protocol.encode(message, 1), (self.sandbox.network_fd,))
            packet = there.receive()
            if packet is not None:
                protocol.decode(packet.document)
                for fd in packet.fds:
                    os.close(fd)
        here.send(protocol.encode(Reply(1, {})))
        self.loop.unwatch(there.fileno())
        here.close()
        there.close()
        streams = ProcessStreams(
            self.loop,
            LogDriver(),
            spill_directory="/",
            terminal=False,
            stdin_open=False,
            stdin_once=False,
        )
        streams.open()
        streams.process_made()
        streams.process_ended()


def _open_fds() -> int:
    """Count this process's descriptors."""
    return len(os.listdir("/proc/self/fd"))


def _raise(error: Exception) -> None:
    raise error
