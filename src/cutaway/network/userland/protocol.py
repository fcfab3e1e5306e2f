"""What the engine tells the userland process.

| message | fds | what it means |
|---|---|---|
| ``hello`` | – | answered by ``state``: what the process has |
| ``sandbox`` | netns, udp, tcp | answer this sandbox's questions on these sockets |
| ``sandbox`` | – | the same sandbox has other networks or links now |
| ``sandbox_gone`` | – | close its sockets |
| ``endpoint`` | – | somebody on a network has these names and addresses |
| ``endpoint_gone`` | – | no more |
| ``port`` | listening socket | relay what comes here to the container |
| ``port`` | – | the same port leads to another address of the container now |
| ``port_gone`` | – | close the socket of this port |
| ``ports_gone`` | – | close the sockets of this sandbox's ports |
| ``refill`` | – | the firewall was made anew: add the egress policies' elements again |
| ``ask_denied`` | – | answered by ``denied``: what a sandbox's policy refused |
| ``quit`` | – | close everything and end |

All but ``hello`` and ``ask_denied`` are without answer: the sockets exist before the message is
sent, and hold what arrives until the process gets to it. Packets of a SOCK_SEQPACKET socket, one
JSON document each.
"""

import json
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from cutaway.linux.sockets import recv_fds, send_fds

Fence: TypeAlias = tuple[tuple[str, ...], tuple[tuple[str, str, str], ...]]

VERSION = 2
PACKET_SIZE = 131072
MAX_FDS = 3


@dataclass(frozen=True, slots=True)
class Hello:
    """Ask what the process has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the process has.

    Attributes:
        version: of this protocol.
        pid: the process's.
        sandboxes: ids.
        endpoints: ids.
        ports: sandbox id to ``protocol host_ip host_port``.
    """

    version: int
    pid: int
    sandboxes: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    ports: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxNames:
    """How a sandbox's questions are answered.

    Attributes:
        id: the sandbox's.
        networks: ids of the networks whose names it knows, first the one asked first.
        links: (network id, alias, container name): names of its own.
        servers: upstream; None follows the host's resolv.conf.
        forwards: False on internal networks: nothing is asked outside.
        fences: for each endpoint with an egress policy its addresses, and what names it may
            reach: (pattern, protocol, ports).
        is_open: some endpoint may ask for every name.
        asks_from_host: all endpoints are fenced: questions go out by the host.
        instance: the firewall's tables.
    """

    id: str
    networks: tuple[str, ...] = ()
    links: tuple[tuple[str, str, str], ...] = ()
    servers: tuple[str, ...] | None = None
    forwards: bool = True
    fences: tuple[Fence, ...] = ()
    is_open: bool = True
    asks_from_host: bool = False
    instance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxGone:
    """A sandbox is no more."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointNames:
    """The names and addresses of one endpoint.

    Attributes:
        id: the endpoint's.
        network: the network's id.
        network_name: ``web.backend`` is a name, too.
        names: the container's own name first: the answer to "who has this address".
        address: IPv4 or empty.
        address_v6: IPv6 or empty.
    """

    id: str
    network: str
    network_name: str
    names: tuple[str, ...] = ()
    address: str = ""
    address_v6: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointGone:
    """An endpoint is no more."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """Relay a listening socket's connections, or a bound one's datagrams.

    Attributes:
        sandbox: whose port it is.
        protocol: ``tcp`` or ``udp``.
        host_ip: where the socket is bound.
        host_port: the same.
        target: the container's address.
        target_port: the container's port.
    """

    sandbox: str
    protocol: str
    host_ip: str
    host_port: int
    target: str
    target_port: int

    @property
    def key(self) -> str:
        """Return what tells it from the sandbox's other ports."""
        return f"{self.protocol} {self.host_ip} {self.host_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortGone:
    """One port of a sandbox is no more; ``key`` is ``Port.key``."""

    sandbox: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PortsGone:
    """A sandbox's ports are no more."""

    sandbox: str


@dataclass(frozen=True, slots=True)
class Quit:
    """End."""


@dataclass(frozen=True, slots=True)
class Refill:
    """The firewall's tables were made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskDenied:
    """Ask what a sandbox's policy refused."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """What a sandbox's policy refused.

    Attributes:
        names: name to how many seconds ago.
        known: the addresses that the sandbox got for names.
    """

    names: dict[str, float] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)


Message: TypeAlias = (
    Hello
    | State
    | SandboxNames
    | SandboxGone
    | EndpointNames
    | EndpointGone
    | Port
    | PortGone
    | PortsGone
    | Refill
    | AskDenied
    | Denied
    | Quit
)

_TYPES: dict[str, type[Any]] = {
    "hello": Hello,
    "state": State,
    "sandbox": SandboxNames,
    "sandbox_gone": SandboxGone,
    "endpoint": EndpointNames,
    "endpoint_gone": EndpointGone,
    "port": Port,
    "port_gone": PortGone,
    "ports_gone": PortsGone,
    "refill": Refill,
    "ask_denied": AskDenied,
    "denied": Denied,
    "quit": Quit,
}
_WORDS = {kind: word for word, kind in _TYPES.items()}


def send(connection: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message with copies of descriptors.

    Raises:
        OSError: EPIPE (nobody is there), EAGAIN or TimeoutError (it does not read).
    """
    document = {"is": _WORDS[type(message)], **asdict(message)}
    send_fds(connection, json.dumps(document, separators=(",", ":")).encode(), list(fds))


def receive(connection: socket.socket) -> tuple[Message, list[int]] | None:
    """Receive one message and its descriptors; None at the end.

    Raises:
        ValueError: it is no message of this protocol; its descriptors are closed.
        OSError: BlockingIOError on a non-blocking socket with nothing to read.
    """
    data, fds = recv_fds(connection, PACKET_SIZE, MAX_FDS)
    if not data:
        return None
    try:
        document = json.loads(data)
        kind = _TYPES[document.pop("is")]
        return kind(**{k: _frozen(v) for k, v in document.items()}), fds
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        for fd in fds:
            socket.close(fd)
        raise ValueError(f"not a message: {data[:80]!r}") from error


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
