"""Keeps the userland process running and told: what it must serve follows from the book.

The process is started when the first sandbox needs it. When it died, or when a new engine finds an
old process, what it has is compared with what it should have, and only the difference is told.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterable, Mapping

from cutaway.network.network import Network
from cutaway.network.publishing.hostports import HeldPort, bind_port
from cutaway.network.sandbox import Sandbox
from cutaway.network.services.plans import change_names, plan_serving, port_key
from cutaway.network.services.steps import (
    AnnounceEndpoint,
    RelayPort,
    ReleasePort,
    ReleasePorts,
    ServeNames,
    StopNames,
    WithdrawEndpoint,
)
from cutaway.network.settings import NetworkSettings
from cutaway.network.steps import NetworkScope
from cutaway.network.userland import protocol
from cutaway.network.userland.client import UserlandClient, reap
from cutaway.network.userland.protocol import State
from cutaway.steps import Ledger, Plan, Step

log = logging.getLogger(__name__)

NOTHING = State(version=protocol.VERSION, pid=0)

ApplyInside = Callable[[Plan[NetworkScope], int, Ledger], None]
Apply = Callable[[Plan[NetworkScope], Ledger], None]


class Services:
    """The userland process of one engine. The controller's lock guards it.

    Attributes:
        client: speaks to the process.
        held: sockets of published ports not handed over yet, by sandbox and key.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        self._settings = settings
        self.client = UserlandClient(settings.run_directory)
        self.held: dict[tuple[str, str], socket.socket] = {}
        self._namespaces: dict[str, int] = {}

    def hold(self, sandbox_id: str, ports: Iterable[HeldPort]) -> None:
        """Keep the sockets of a sandbox's ports until they are handed over."""
        for port in ports:
            if port.bound is not None:
                self.held[sandbox_id, port_key(port.binding)] = port.bound

    def let_go(self, sandbox_id: str, ports: Iterable[HeldPort]) -> None:
        """Close those of a sandbox's sockets that were not handed over."""
        for port in ports:
            self.held.pop((sandbox_id, port_key(port.binding)), None)
            port.close()

    def remember(self, sandbox_id: str, netns_fd: int) -> None:
        """Keep a descriptor of a sandbox's namespace, to serve in it again if need be."""
        self.forget(sandbox_id)
        self._namespaces[sandbox_id] = os.dup(netns_fd)

    def forget(self, sandbox_id: str) -> None:
        """Let go of a sandbox's namespace, which may die now; harmless when not kept."""
        fd = self._namespaces.pop(sandbox_id, None)
        if fd is not None:
            os.close(fd)

    def find(self) -> State:
        """Connect to an earlier engine's process; the state is empty when there is none."""
        return self.client.find() or NOTHING

    def ensure(self, ledger: Ledger) -> bool:
        """Start the process if none runs; True when it was started: it knows nothing yet."""
        if self.client.is_alive():
            return False
        reap()
        self.client.start(ledger)
        return True

    def reconcile(
        self,
        state: State,
        sandboxes: Iterable[Sandbox],
        networks: Mapping[str, Network],
        *,
        apply: Apply,
        apply_inside: ApplyInside,
    ) -> None:
        """Tell the process what it lacks, and to end what nobody needs.

        Args:
            state: what it has.
            sandboxes: all.
            networks: by id.
            apply: applies steps on the host.
            apply_inside: applies steps in a namespace.
        """
        ledger = Ledger("engine")
        known = {s.id: s for s in sandboxes}
        apply(_surplus(state, known), ledger)
        for sandbox in known.values():
            steps = plan_serving(sandbox, networks, self._settings, "the process was new")
            # What it has is told again: it may lead elsewhere or know other networks now.
            outer = [s for s in steps if not isinstance(s, ServeNames)]
            outer += [change_names(s) for s in steps if isinstance(s, ServeNames)]
            for step in outer:
                if isinstance(step, RelayPort) and not _has(state, step):
                    self._bind_again(step)
            apply(tuple(outer), ledger)
            inner = tuple(s for s in steps if isinstance(s, ServeNames) and not _has(state, s))
            fd = self._namespaces.get(sandbox.id)
            if inner and fd is not None:
                apply_inside(inner, fd, ledger)

    def _bind_again(self, step: RelayPort) -> None:
        key = step.message().key
        if (step.sandbox, key) in self.held:
            return
        try:
            bound = bind_port(step.protocol, step.host_ip, step.host_port)
        except OSError as error:
            # The firewall still leads the port to the container; only loopback is not served.
            log.warning("published port %s is somebody else's now: %s", key, error)
            return
        if bound is not None:
            self.held[step.sandbox, key] = bound

    def close(self) -> None:
        """Let go of everything; the process lives on while it has something to serve."""
        for sandbox_id in list(self._namespaces):
            self.forget(sandbox_id)
        for bound in self.held.values():
            bound.close()
        self.held.clear()
        self.client.close()


def _has(state: State, step: Step[NetworkScope]) -> bool:
    """The process serves already what the step would have it serve."""
    if isinstance(step, ServeNames):
        return step.sandbox in state.sandboxes
    if isinstance(step, AnnounceEndpoint):
        return step.endpoint in state.endpoints
    if isinstance(step, RelayPort):
        return step.message().key in state.ports.get(step.sandbox, [])
    return False


def _surplus(state: State, known: Mapping[str, Sandbox]) -> Plan[NetworkScope]:
    why = "nobody needs it"
    endpoints = {e.id for s in known.values() for e in s.endpoints}
    return (
        *(StopNames(why=why, sandbox=s) for s in state.sandboxes if s not in known),
        *(ReleasePorts(why=why, sandbox=s) for s in state.ports if s not in known),
        *(
            ReleasePort(why=why, sandbox=sandbox, key=key)
            for sandbox, keys in state.ports.items()
            if sandbox in known
            for key in keys
            if key not in {port_key(b) for b in known[sandbox].ports}
        ),
        *(WithdrawEndpoint(why=why, endpoint=e) for e in state.endpoints if e not in endpoints),
    )
