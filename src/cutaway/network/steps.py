"""What networks change on the host, step by step: bridges, links, settings.

Steps about a sandbox are in ``sandbox_steps``, those of the firewall in ``firewall_steps``. All
act through a ``NetworkScope``.
"""

import errno
import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from cutaway.files import write_atomic
from cutaway.linux import KernelError
from cutaway.linux.netlink import NETLINK_ROUTE, NetlinkSocket
from cutaway.linux.rtnetlink import (
    ADDR_GEN_MODE,
    address_add,
    address_delete,
    bridge_data,
    bridge_port_set,
    link_add,
    link_delete,
    link_group_delete,
    link_index,
    link_set,
)
from cutaway.network.errors import MissingLinkKind
from cutaway.network.userland.protocol import Message
from cutaway.steps import Step


class Teller(Protocol):
    """What steps need of ``userland.client``."""

    def tell(self, message: Message, fds: Sequence[int] = ()) -> bool:
        """Send one message; False when nobody is there."""


@dataclass(slots=True)
class Commits:
    """A number that scopes share; read and changed with its lock held, as the rules are."""

    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class NetworkScope:
    """What network steps act with.

    Attributes:
        host: speaks rtnetlink for the host's namespace.
        firewall: speaks nfnetlink for it.
        netns_fd: the sandbox's namespace, or None when the step is about the host.
        sandbox: speaks rtnetlink for the sandbox's namespace.
        userland: tells the process that serves names and relays ports; None without one.
        held: sockets of published ports that were not handed to it yet, by sandbox and key.
        commits: how many changes of the rule set were ours: the kernel counts all of them.

    Steps about a sandbox are applied by a thread that is *inside* its namespace
    (``namespace.inside``), because ``/proc/sys/net`` shows the reader's own; the sockets keep
    speaking for the namespace they were made in.
    """

    host: NetlinkSocket
    firewall: NetlinkSocket
    netns_fd: int | None = None
    sandbox: NetlinkSocket | None = None
    userland: "Teller | None" = None
    held: dict[tuple[str, str], socket.socket] = field(default_factory=dict)
    commits: Commits = field(default_factory=Commits)

    @staticmethod
    def new_route_socket() -> NetlinkSocket:
        """Return a socket of the namespace that the calling thread is in."""
        return NetlinkSocket(NETLINK_ROUTE)

    def inner(self) -> NetlinkSocket:
        """Return the sandbox's socket, made at first use by the thread that is inside."""
        if self.sandbox is None:
            self.sandbox = NetlinkSocket(NETLINK_ROUTE)
        return self.sandbox

    def close_sandbox(self) -> None:
        """Close the sandbox's socket: an open one would keep the namespace alive."""
        if self.sandbox is not None:
            self.sandbox.close()
            self.sandbox = None


def forget_link(scope: NetworkScope, name: str) -> None:
    """Remove a link of the host; fine when it is gone.

    Raises:
        KernelError: anything but ENODEV.
    """
    try:
        scope.host.request([link_delete(name)])
    except KernelError as error:
        if error.errno != errno.ENODEV:
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSysctl(Step[NetworkScope]):
    """Write one kernel setting of the namespace the thread is in."""

    name: str
    value: str

    @property
    def path(self) -> str:
        """The file of the setting; dots in an interface's name are not handled (we make none)."""
        return "/proc/sys/" + self.name.replace(".", "/")

    def describe(self) -> str:
        """See ``Step``."""
        return f"set {self.name} = {self.value}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"sysctl -qw {self.name}={self.value}"

    def apply(self, scope: NetworkScope) -> str:
        """Write the value; return the one before.

        Raises:
            OSError: ENOENT (the kernel has no such setting), EINVAL.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            before = os.read(fd, 256).decode().strip()
            if before != self.value:
                os.pwrite(fd, self.value.encode(), 0)
            return before
        finally:
            os.close(fd)

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Write the value that was there; fine when the interface is gone."""
        with suppress(FileNotFoundError), open(self.path, "w", encoding="ascii") as file:
            file.write(str(result))


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBridge(Step[NetworkScope]):
    """Make a bridge on the host, with its addresses, and set it up.

    Attributes:
        name: the device.
        addresses: ``172.17.0.1/16``: the gateways of its containers.
        mtu: bytes.
        alias: whose it is.
        mac: fixed, so that it does not change with its ports.
    """

    name: str
    addresses: tuple[str, ...]
    mtu: int
    alias: str
    mac: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"create the bridge {self.name} with {', '.join(self.addresses) or 'no address'}"

    def shell(self) -> str:
        """See ``Step``."""
        lines = [f"ip link add {self.name} address {self.mac} mtu {self.mtu} type bridge"]
        lines += [f"ip addr add {a} dev {self.name}" for a in self.addresses]
        lines.append(f"ip link set {self.name} up alias '{self.alias}'")
        return "\n".join(lines)

    def apply(self, scope: NetworkScope) -> None:
        """Three requests; a bridge that is left half made is removed.

        Raises:
            KernelError: EEXIST (the name is taken), EADDRINUSE.
        """
        scope.host.request(
            [
                # A port forwards at once: there is no loop to look for below our own bridge.
                link_add(
                    self.name,
                    "bridge",
                    mtu=self.mtu,
                    address=self.mac,
                    data=bridge_data(forward_delay=0),
                )
            ]
        )
        try:
            index = link_index(scope.host, self.name)
            scope.host.request(
                [
                    link_set(index, alias=self.alias, addr_gen_mode=self._addr_gen_mode()),
                    *(address_add(index, a, broadcast=True, no_dad=True) for a in self.addresses),
                    link_set(index, up=True),
                ]
            )
        except BaseException:
            forget_link(scope, self.name)
            raise

    def _addr_gen_mode(self) -> ADDR_GEN_MODE:
        has_ipv6 = any(":" in a for a in self.addresses)
        return ADDR_GEN_MODE.EUI64 if has_ipv6 else ADDR_GEN_MODE.NONE

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Remove it."""
        forget_link(scope, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateInnerParent(Step[NetworkScope]):
    """Make a device that leads nowhere, for a macvlan or ipvlan network without a way out.

    Docker makes a dummy device; a kernel without has ifb, which drops what it is given, too. (A
    bridge without ports would not do: it has no carrier, so its children have none.)
    """

    name: str
    mtu: int
    alias: str
    mac: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"create the parent {self.name}, which leads nowhere"

    def shell(self) -> str:
        """See ``Step``."""
        return (
            f"ip link add {self.name} address {self.mac} mtu {self.mtu} type dummy\n"
            f"ip link set {self.name} up alias '{self.alias}'"
        )

    def apply(self, scope: NetworkScope) -> None:
        """Two requests, three on a kernel without dummy devices.

        Raises:
            KernelError: EEXIST (the name is taken); MissingLinkKind: it has neither kind.
        """
        for kind in ("dummy", "ifb"):
            (error,) = scope.host.try_requests(
                [link_add(self.name, kind, mtu=self.mtu, address=self.mac)]
            )
            if error is None:
                break
            if error.errno != errno.EOPNOTSUPP:
                raise error
        else:
            raise MissingLinkKind("dummy", "CONFIG_DUMMY")
        off = ADDR_GEN_MODE.NONE
        scope.host.request([link_set(self.name, alias=self.alias, addr_gen_mode=off, up=True)])

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Remove it."""
        forget_link(scope, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBridge(Step[NetworkScope]):
    """Bring a bridge that is there already to the wanted state."""

    name: str
    add: tuple[str, ...]
    remove: tuple[str, ...]
    mtu: int
    alias: str

    def describe(self) -> str:
        """See ``Step``."""
        changes = [f"+{a}" for a in self.add] + [f"-{a}" for a in self.remove]
        return f"set up the bridge {self.name} {' '.join(changes)}".rstrip()

    def shell(self) -> str:
        """See ``Step``."""
        lines = [f"ip addr del {a} dev {self.name}" for a in self.remove]
        lines += [f"ip addr add {a} dev {self.name}" for a in self.add]
        lines.append(f"ip link set {self.name} up mtu {self.mtu} alias '{self.alias}'")
        return "\n".join(lines)

    def apply(self, scope: NetworkScope) -> None:
        """Two requests.

        Raises:
            KernelError: ENODEV (it is gone), EADDRINUSE.
        """
        index = link_index(scope.host, self.name)
        scope.host.request(
            [
                *(address_delete(index, a) for a in self.remove),
                *(address_add(index, a, broadcast=True, no_dad=True) for a in self.add),
                link_set(index, up=True, mtu=self.mtu, alias=self.alias),
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteLink(Step[NetworkScope]):
    """Remove a device of the host; a veth's other end goes with it."""

    name: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"remove the link {self.name}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"ip link del {self.name}"

    def apply(self, scope: NetworkScope) -> None:
        """One request; fine when it is gone."""
        forget_link(scope, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireLinkKind(Step[NetworkScope]):
    """Make sure that the kernel has a kind of link; nothing is changed.

    A link of the kind is asked for on a parent that can't exist: a kernel that knows the kind
    complains about the parent, one that does not about the kind.
    """

    kind: str
    option: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"check that the kernel has {self.kind}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"# modprobe {self.kind}"

    def apply(self, scope: NetworkScope) -> None:
        """One sendmsg.

        Raises:
            MissingLinkKind: the kernel was built without it.
        """
        (error,) = scope.host.try_requests([link_add("probe", self.kind, parent=0x7FFFFFFF)])
        if error is not None and error.errno == errno.EOPNOTSUPP:
            raise MissingLinkKind(self.kind, self.option)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireLinks(Step[NetworkScope]):
    """Cut links of gone containers off at once; they are deleted later, many at a time.

    Deleting a link costs a grace period of the kernel, disabling a bridge's port none.

    Attributes:
        names: the host's ends.
        group: link group of what is to be deleted.
    """

    names: tuple[str, ...]
    group: int

    def describe(self) -> str:
        """See ``Step``."""
        return f"cut off {', '.join(self.names)}"

    def shell(self) -> str:
        """See ``Step``."""
        lines = []
        for name in self.names:
            lines.append(f"bridge link set dev {name} state 0")
            lines.append(f"ip link set {name} group {self.group}")
        return "\n".join(lines)

    def apply(self, scope: NetworkScope) -> None:
        """One sendmsg; a link that is gone already (its namespace died) is fine."""
        requests = []
        for name in self.names:
            requests.append(bridge_port_set(name, disabled=True))
            requests.append(link_set(name, group=self.group))
        scope.host.try_requests(requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteLinkGroup(Step[NetworkScope]):
    """Delete all links of a group, for the price of one."""

    group: int

    def describe(self) -> str:
        """See ``Step``."""
        return f"delete the links of group {self.group}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"ip link del group {self.group}"

    def apply(self, scope: NetworkScope) -> None:
        """One sendmsg; fine when there are none."""
        scope.host.try_requests([link_group_delete(self.group)])


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachPorts(Step[NetworkScope]):
    """Put links back on a bridge that had to be made anew."""

    bridge: str
    names: tuple[str, ...]
    isolated: bool

    def describe(self) -> str:
        """See ``Step``."""
        return f"attach {', '.join(self.names)} to {self.bridge}"

    def shell(self) -> str:
        """See ``Step``."""
        return "\n".join(f"ip link set {name} master {self.bridge}" for name in self.names)

    def apply(self, scope: NetworkScope) -> None:
        """Two sendmsg; a link that is gone is fine."""
        bridge = link_index(scope.host, self.bridge)
        requests = []
        for name in self.names:
            requests.append(link_set(name, master=bridge))
            requests.append(bridge_port_set(name, hairpin=True, isolated=self.isolated))
            requests.append(link_set(name, up=True))
        scope.host.try_requests(requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableForwarding(Step[NetworkScope]):
    """Let the host pass packets on, and remember that it did not before.

    Attributes:
        version: 4 or 6.
        marker: file on a tmpfs, gone with the machine's next start as the setting is.
    """

    version: int
    marker: str

    @property
    def path(self) -> str:
        """The setting's file."""
        name = "ipv4/ip_forward" if self.version == 4 else "ipv6/conf/all/forwarding"
        return f"/proc/sys/net/{name}"

    def describe(self) -> str:
        """See ``Step``."""
        return f"switch on IPv{self.version} forwarding"

    def shell(self) -> str:
        """See ``Step``."""
        return f"echo 1 > {self.path}"

    def apply(self, scope: NetworkScope) -> None:
        """Write the marker first: a crash between leaves the careful answer.

        Raises:
            OSError: EROFS, ENOENT (the kernel lacks the protocol).
        """
        os.makedirs(os.path.dirname(self.marker), mode=0o700, exist_ok=True)
        write_atomic(self.marker, b"1\n", durable=False)
        with open(self.path, "w", encoding="ascii") as file:
            file.write("1")

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Switch it off again."""
        with open(self.path, "w", encoding="ascii") as file:
            file.write("0")
        with suppress(FileNotFoundError):
            os.unlink(self.marker)
