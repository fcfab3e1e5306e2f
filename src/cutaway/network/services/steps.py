"""Steps that give the userland process something to serve, or take it away."""

import socket
from dataclasses import dataclass
from typing import Any

from cutaway.linux import KernelError
from cutaway.linux.netlink import NETLINK_NETFILTER, NetlinkSocket
from cutaway.linux.nftables import (
    HOOK,
    NFPROTO,
    Batch,
    Chain,
    Rule,
    Table,
    expressions,
    matches,
    pack_port,
)
from cutaway.linux.nftables.abi import PAYLOAD
from cutaway.network.firewall.conditions import RAW
from cutaway.network.firewall.sets import PROTOCOL_NUMBERS
from cutaway.network.naming.etcfiles import EMBEDDED_DNS
from cutaway.network.steps import NetworkScope
from cutaway.network.userland.protocol import (
    EndpointGone,
    EndpointNames,
    Fence,
    Port,
    PortGone,
    PortsGone,
    SandboxGone,
    SandboxNames,
)
from cutaway.steps import Step

_DNS_PORT = 53
_BACKLOG = 16
_CHECKSUM_OFFSETS = {"udp": 6, "tcp": 16}
_SOURCE_PORT, _DESTINATION_PORT = 0, 2
_NAMES_TABLE = Table(NFPROTO.IPV4, "cutaway", comment=f"the name server at {EMBEDDED_DNS}")


def name_server_rules(udp_port: int, tcp_port: int) -> Batch:
    """Return the sandbox's own table: port 53 of 127.0.0.11 is written to the server's port.

    A server bound to port 53 itself would forbid the container a server of its own on every
    address. The ports are written into the packets without connection tracking, which the
    namespace then need not have.

    A batch that deletes makes the next close(2) of such a socket wait for RCU (7 ms): the chain
    is flushed, not replaced, which deletes nothing where there was nothing.
    """
    chain = Chain(_NAMES_TABLE, "names", "filter", HOOK.OUTPUT, RAW)
    batch = Batch().add_table(_NAMES_TABLE).add_chain(chain).flush_chain(chain)
    for protocol, port in (("udp", udp_port), ("tcp", tcp_port)):
        number = PROTOCOL_NUMBERS[protocol]
        checksum = _CHECKSUM_OFFSETS[protocol]

        def write(field: int, value: int, checksum_offset: int = checksum) -> bytes:
            load = expressions.immediate(pack_port(value))
            return load + expressions.payload_set(
                PAYLOAD.TRANSPORT, field, 2, checksum_offset=checksum_offset
            )

        question = (
            matches.ip_destination(EMBEDDED_DNS, table_family=NFPROTO.IPV4),
            matches.l4_protocol(number),
            matches.destination_port(_DNS_PORT),
            write(_DESTINATION_PORT, port),
        )
        answer = (
            matches.ip_source(EMBEDDED_DNS, table_family=NFPROTO.IPV4),
            matches.l4_protocol(number),
            matches.source_port(port),
            write(_SOURCE_PORT, _DNS_PORT),
        )
        batch.add_rule(Rule(chain, question)).add_rule(Rule(chain, answer))
    return batch


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeNames(Step[NetworkScope]):
    """Give the sandbox its name server at 127.0.0.11.

    Attributes:
        sandbox: its id.
        networks: ids of the networks whose names it knows.
        links: (network id, alias, container name).
        servers: upstream; None follows the host.
        forwards: False on internal networks.
        fences: see ``protocol.SandboxNames``, as the three that follow.
    """

    sandbox: str
    networks: tuple[str, ...]
    links: tuple[tuple[str, str, str], ...]
    servers: tuple[str, ...] | None
    forwards: bool
    fences: tuple[Fence, ...] = ()
    is_open: bool = True
    asks_from_host: bool = False
    instance: str = ""

    def message(self) -> SandboxNames:
        """Return what the process is told."""
        return SandboxNames(
            id=self.sandbox,
            networks=self.networks,
            links=self.links,
            servers=self.servers,
            forwards=self.forwards,
            fences=self.fences,
            is_open=self.is_open,
            asks_from_host=self.asks_from_host,
            instance=self.instance,
        )

    @property
    def _is_gate(self) -> bool:
        """Some policy allows names: their answers become elements, for as long as they hold."""
        return any(allowances for _, allowances in self.fences)

    def describe(self) -> str:
        """See ``Step``."""
        opens = ", and open the firewall to the answers that a policy allows"
        return f"serve names at {EMBEDDED_DNS} in the sandbox{opens if self._is_gate else ''}"

    def shell(self) -> str:
        """See ``Step``."""
        adds = "; it adds elements with a timeout to named4 and named6"
        return (
            f"# in $NETNS: bind({EMBEDDED_DNS}, UDP and TCP), pass the sockets to the userland "
            f"process; nftables rules write port 53 to theirs{adds if self._is_gate else ''}"
        )

    def apply(self, scope: NetworkScope) -> None:
        """Make the sockets inside, point port 53 at them, hand them over.

        Raises:
            KernelError: the kernel lacks nftables or an expression.
            OSError: no descriptor to be had.
        """
        if scope.netns_fd is None or scope.userland is None:
            raise KernelError(9, "ServeNames")  # EBADF: a plan that was applied outside
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        ):
            udp.bind((EMBEDDED_DNS, 0))
            tcp.bind((EMBEDDED_DNS, 0))
            tcp.listen(_BACKLOG)
            with NetlinkSocket(NETLINK_NETFILTER) as firewall:
                rules = name_server_rules(udp.getsockname()[1], tcp.getsockname()[1])
                rules.commit(firewall)
            fds = (scope.netns_fd, udp.fileno(), tcp.fileno())
            scope.userland.tell(self.message(), fds)

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Close the server; the elements that it added go with it."""
        if scope.userland is not None:
            scope.userland.tell(SandboxGone(id=self.sandbox))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeNames(ServeNames):
    """Tell a sandbox's name server that it knows other names now."""

    def describe(self) -> str:
        """See ``Step``."""
        return "change the names that the sandbox knows"

    def shell(self) -> str:
        """See ``Step``."""
        return "# tell the userland process"

    def apply(self, scope: NetworkScope) -> None:
        """One message."""
        if scope.userland is not None:
            scope.userland.tell(self.message())

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Nothing: the caller tells what is true again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopNames(Step[NetworkScope]):
    """Close a sandbox's name server."""

    sandbox: str

    def describe(self) -> str:
        """See ``Step``."""
        return "stop serving names in the sandbox"

    def shell(self) -> str:
        """See ``Step``."""
        return "# tell the userland process; in $NETNS, if it lives on: nft delete table ip cutaway"

    def apply(self, scope: NetworkScope) -> None:
        """One message; and inside a sandbox that lives on, its table goes.

        Raises:
            KernelError: the kernel refused.
        """
        if scope.userland is not None:
            scope.userland.tell(SandboxGone(id=self.sandbox))
        if scope.netns_fd is not None:
            with NetlinkSocket(NETLINK_NETFILTER) as firewall:
                Batch().delete_table(_NAMES_TABLE, missing_ok=True).commit(firewall)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceEndpoint(Step[NetworkScope]):
    """Let the neighbours find an endpoint by its names."""

    endpoint: str
    network: str
    network_name: str
    names: tuple[str, ...]
    address: str
    address_v6: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"announce {', '.join(self.names)} on {self.network_name}"

    def shell(self) -> str:
        """See ``Step``."""
        return "# tell the userland process"

    def apply(self, scope: NetworkScope) -> None:
        """One message."""
        if scope.userland is not None:
            scope.userland.tell(
                EndpointNames(
                    id=self.endpoint,
                    network=self.network,
                    network_name=self.network_name,
                    names=self.names,
                    address=self.address,
                    address_v6=self.address_v6,
                )
            )

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Take the names back."""
        if scope.userland is not None:
            scope.userland.tell(EndpointGone(id=self.endpoint))


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawEndpoint(Step[NetworkScope]):
    """Take an endpoint's names back."""

    endpoint: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"withdraw the names of endpoint {self.endpoint[:12]}"

    def shell(self) -> str:
        """See ``Step``."""
        return "# tell the userland process"

    def apply(self, scope: NetworkScope) -> None:
        """One message."""
        if scope.userland is not None:
            scope.userland.tell(EndpointGone(id=self.endpoint))


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPort(Step[NetworkScope]):
    """Have connections from the host's loopback relayed to the container.

    The socket was bound when the port was taken; it is handed over.
    """

    sandbox: str
    protocol: str
    host_ip: str
    host_port: int
    target: str
    target_port: int

    def message(self) -> Port:
        """Return what the process is told."""
        return Port(
            sandbox=self.sandbox,
            protocol=self.protocol,
            host_ip=self.host_ip,
            host_port=self.host_port,
            target=self.target,
            target_port=self.target_port,
        )

    def describe(self) -> str:
        """See ``Step``."""
        where = f"{self.host_ip}:{self.host_port}/{self.protocol}"
        return f"hold {where}, relay loopback to {self.target}:{self.target_port}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"# bind({self.host_ip}:{self.host_port}), pass the socket to the userland process"

    def apply(self, scope: NetworkScope) -> None:
        """One message with the socket; without it, when it was handed over before."""
        message = self.message()
        if scope.userland is None:
            return
        bound = scope.held.pop((self.sandbox, message.key), None)
        if bound is None:
            scope.userland.tell(message)
        else:
            with bound:
                scope.userland.tell(message, (bound.fileno(),))

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Close the port."""
        ReleasePort(why="undo", sandbox=self.sandbox, key=self.message().key).apply(scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePort(Step[NetworkScope]):
    """Close the socket of one published port."""

    sandbox: str
    key: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"close the published port {self.key}"

    def shell(self) -> str:
        """See ``Step``."""
        return "# tell the userland process"

    def apply(self, scope: NetworkScope) -> None:
        """One message; what was not handed over yet is closed."""
        bound = scope.held.pop((self.sandbox, self.key), None)
        if bound is not None:
            bound.close()
        if scope.userland is not None:
            scope.userland.tell(PortGone(sandbox=self.sandbox, key=self.key))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePorts(Step[NetworkScope]):
    """Close the sockets of a sandbox's published ports."""

    sandbox: str

    def describe(self) -> str:
        """See ``Step``."""
        return "close the published ports"

    def shell(self) -> str:
        """See ``Step``."""
        return "# tell the userland process"

    def apply(self, scope: NetworkScope) -> None:
        """One message, and what was not handed over yet is closed."""
        for key in [k for k in scope.held if k[0] == self.sandbox]:
            scope.held.pop(key).close()
        if scope.userland is not None:
            scope.userland.tell(PortsGone(sandbox=self.sandbox))
