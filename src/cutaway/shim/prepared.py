"""What is made before it is needed: by the launcher for all shims, by an idle shim for itself."""

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
        in_haste: the container waits already: no rehearsal.

    Attributes:
        loop: the shim's own.
        sandbox: with a network namespace, which most containers want.
        maker: the process that will make the container; None once it is used.
    """

    def __init__(self, support: RuntimeSupport, *, in_haste: bool) -> None:
        self.loop = Loop(_raise)
        self.sandbox = Sandbox()
        self.sandbox.create()
        self.maker: Maker | None = Maker.fork(support.facts, support.seccomp)
        if not in_haste:
            self._rehearse()

    def take_maker(self) -> Maker | None:
        """Return the maker for the first run; later runs fork their own."""
        maker, self.maker = self.maker, None
        return maker

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
        for message in (sample, protocol.Start(), Event("created", 1, 1, {"netns": True})):
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


def _raise(error: Exception) -> None:
    raise error
