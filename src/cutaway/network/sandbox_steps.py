"""Steps that give a sandbox its interfaces, addresses and routes.

They are applied by a thread that is inside the sandbox's namespace; see ``NetworkScope``.
"""

import errno
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from cutaway.linux import KernelError
from cutaway.linux.rtnetlink import (
    ADDR_GEN_MODE,
    IPVLAN_MODE,
    MACVLAN_MODE,
    address_add,
    bridge_port_set,
    ipvlan_data,
    link_add,
    link_delete,
    link_get,
    link_index,
    link_peer,
    link_set,
    macvlan_data,
    route_add,
    veth_data,
)
from cutaway.linux.rtnetlink.abi import IPVLAN_F
from cutaway.network.namespace import born_without_ipv6
from cutaway.network.steps import NetworkScope, SetSysctl, forget_link
from cutaway.steps import Step

_PATIENCE_S = 3.0
_POLL_S = 0.01
_BORN = "net.ipv6.conf.default.disable_ipv6"
_IPVLAN_FLAGS = {"bridge": None, "private": IPVLAN_F.PRIVATE, "vepa": IPVLAN_F.VEPA}


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVeth(Step[NetworkScope]):
    """Make a pair of devices: one end on the bridge, the other inside the sandbox.

    The inner end is born in its namespace by the message that makes the pair: moving it there
    later would cost a grace period of the kernel (4 to 12 ms).

    Attributes:
        host_name: the end on the bridge.
        inner_name: the end in the sandbox, ``eth0``.
        bridge: the bridge's name.
        mac: of the inner end.
        host_mac: of the outer end.
        mtu: of both.
        group: link group of the outer end.
        alias: whose it is.
        hairpin: frames may go back where they came from: a container that reaches itself by its
            published port, when bridged packets pass the firewall (br_netfilter).
        isolated: no frames to other isolated ports (``--icc=false``).
        without_ipv6: the inner end is born with IPv6 disabled; see ``born_without_ipv6``.
    """

    host_name: str
    inner_name: str
    bridge: str
    mac: str
    host_mac: str
    mtu: int
    group: int
    alias: str
    hairpin: bool = True
    isolated: bool = False
    without_ipv6: bool = False

    def describe(self) -> str:
        """See ``Step``."""
        suffix = ", without IPv6" if self.without_ipv6 else ""
        return (
            f"connect {self.inner_name} ({self.mac}) by {self.host_name} to {self.bridge}{suffix}"
        )

    def shell(self) -> str:
        """See ``Step``."""
        port = f"hairpin {_on(self.hairpin)} isolated {_on(self.isolated)}"
        lines = [
            f"ip link add {self.host_name} address {self.host_mac} mtu {self.mtu} type veth "
            f'peer name {self.inner_name} address {self.mac} mtu {self.mtu} netns "$NETNS"',
            f"ip link set {self.host_name} group {self.group} alias '{self.alias}' "
            f"addrgenmode none master {self.bridge} up",
            f"bridge link set dev {self.host_name} {port}",
        ]
        if self.without_ipv6:
            sysctl = 'nsenter --net="$NETNS" sysctl'
            lines.insert(0, f"BEFORE=$({sysctl} -n {_BORN}); {sysctl} -qw {_BORN}=1")
            lines.insert(2, f'{sysctl} -qw {_BORN}="$BEFORE"')
        return "\n".join(lines)

    def apply(self, scope: NetworkScope) -> None:
        """Two sendmsg: one asks for the bridge's index, one does it all.

        Raises:
            KernelError: EEXIST (a name is taken on either side), ENODEV (no such bridge).
        """
        bridge = link_index(scope.host, self.bridge)
        name = self.host_name
        peer = link_peer(self.inner_name, mtu=self.mtu, address=self.mac, netns_fd=scope.netns_fd)
        requests = [
            link_add(
                name,
                "veth",
                mtu=self.mtu,
                address=self.host_mac,
                group=self.group,
                master=bridge,
                data=veth_data(peer),
            ),
            link_set(name, alias=self.alias, addr_gen_mode=ADDR_GEN_MODE.NONE),
            bridge_port_set(name, hairpin=self.hairpin, isolated=self.isolated),
            link_set(name, up=True),
        ]
        try:
            with born_without_ipv6() if self.without_ipv6 else nullcontext():
                scope.host.request(requests)
        except KernelError as error:
            if error.errno != errno.EEXIST:
                forget_link(scope, name)
            raise

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Remove both ends."""
        forget_link(scope, self.host_name)


def _on(flag: bool) -> str:
    return "on" if flag else "off"


def patiently(act: Callable[[], object], waits_for: int) -> None:
    """Try again for a moment: the kernel destroys a dead sandbox's devices in its own time.

    Args:
        act: raises KernelError.
        waits_for: the errno that says "somebody has it still".

    Raises:
        KernelError: somebody has it for good; any other error at once.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            act()
        except KernelError as error:
            if error.errno != waits_for or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
        else:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSharedLink(Step[NetworkScope]):
    """Make a device inside the sandbox that shares a device of the host: macvlan or ipvlan.

    Attributes:
        inner_name: ``eth0``.
        parent: the host's device.
        kind: ``macvlan`` or ``ipvlan``.
        mode: ``bridge``, ``private``, ``vepa``, ``passthru``; ``l2``, ``l3``, ``l3s``.
        flag: ipvlan's ``bridge``, ``private`` or ``vepa``.
        mac: a macvlan's own address on the wire; ipvlan has its parent's.
        mtu: bytes.
    """

    inner_name: str
    parent: str
    kind: str
    mode: str
    flag: str
    mac: str
    mtu: int

    def describe(self) -> str:
        """See ``Step``."""
        return f"put {self.inner_name} on {self.parent} as {self.kind} {self.mode} {self.flag}"

    def shell(self) -> str:
        """See ``Step``."""
        address = f"address {self.mac} " if self.mac else ""
        return (
            f"ip link add {self.inner_name} link {self.parent} {address}"
            f'mtu {self.mtu} netns "$NETNS" type {self.kind} mode {self.mode} {self.flag}'
        ).rstrip()

    def _data(self) -> bytes:
        if self.kind == "macvlan":
            return macvlan_data(MACVLAN_MODE[self.mode.upper()])
        return ipvlan_data(IPVLAN_MODE[self.mode.upper()], _IPVLAN_FLAGS[self.flag])

    def apply(self, scope: NetworkScope) -> None:
        """Two sendmsg.

        Raises:
            KernelError: ENODEV (no such parent), EBUSY (the parent is in a bridge, or in use by
                another mode), EOPNOTSUPP (the kernel has no such kind).
        """
        parent = link_index(scope.host, self.parent)
        request = link_add(
            self.inner_name,
            self.kind,
            parent=parent,
            mtu=self.mtu,
            address=self.mac or None,
            netns_fd=scope.netns_fd,
            data=self._data(),
        )
        # passthru takes the whole parent: another child, though of a dead namespace, is refused.
        waits_for = errno.EINVAL if self.mode == "passthru" else errno.EADDRINUSE
        patiently(lambda: scope.host.request([request]), waits_for)

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Remove it, if the sandbox is still there to be asked."""
        if scope.sandbox is not None:
            with suppress(KernelError):
                scope.sandbox.request([link_delete(self.inner_name)])


@dataclass(frozen=True, slots=True, kw_only=True)
class SetInterface(SetSysctl):
    """Write one kernel setting of an interface in the sandbox."""

    def shell(self) -> str:
        """See ``Step``."""
        return f'nsenter --net="$NETNS" {SetSysctl.shell(self)}'

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Nothing: it ends with its interface, and whoever undoes is not inside the sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseLoopback(Step[NetworkScope]):
    """Set ``lo`` up: a new namespace is born with it down."""

    def describe(self) -> str:
        """See ``Step``."""
        return "set lo up in the sandbox"

    def shell(self) -> str:
        """See ``Step``."""
        return 'nsenter --net="$NETNS" ip link set lo up'

    def apply(self, scope: NetworkScope) -> None:
        """One sendmsg; fine when it is up."""
        scope.inner().request([link_set("lo", up=True)])


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureInterface(Step[NetworkScope]):
    """Give the sandbox's interface its addresses and set it up.

    Attributes:
        name: ``eth0``.
        addresses: with prefix lengths; link-local ones too.
        host_links: the other end of a veth pair and its bridge, if it is one.
    """

    name: str
    addresses: tuple[str, ...]
    host_links: tuple[str, ...] = ()

    def describe(self) -> str:
        """See ``Step``."""
        return f"set {self.name} up with {', '.join(self.addresses) or 'no address'}"

    def shell(self) -> str:
        """See ``Step``."""
        inside = 'nsenter --net="$NETNS" ip'
        lines = [f"{inside} addr add {a} dev {self.name}" for a in self.addresses]
        return "\n".join([*lines, f"{inside} link set {self.name} up"])

    def apply(self, scope: NetworkScope) -> None:
        """Two sendmsg: one asks for the interface's index, one does it all.

        Raises:
            KernelError: EEXIST (the address is there), EACCES (IPv6 is disabled).
        """
        netlink = scope.inner()
        index = link_index(netlink, self.name)
        # Hairpin ports send a neighbour solicitation back to its sender, which would take its
        # own address for somebody else's: no duplicate address detection.
        adds = [address_add(index, a, broadcast=True, no_dad=True) for a in self.addresses]
        rest = [*adds, link_set(index, up=True)]
        if self.host_links:
            netlink.request(rest)
        else:
            # A macvlan's Ethernet address may be its predecessor's still.
            netlink.request(adds)
            patiently(lambda: netlink.request(rest[-1:]), errno.EADDRINUSE)
        # The bridge forwards, and the bridge itself sends, when they have seen the carrier, which
        # a kernel thread tells them when it gets to it: up to a second later on a busy machine.
        # Asking for a link makes the kernel (6.8 and later) do it now.
        if any(":" in a for a in self.addresses):
            netlink.request([link_get(index)])
        scope.host.request([link_get(name) for name in self.host_links])


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDefaultRoute(Step[NetworkScope]):
    """Send what the sandbox's interfaces don't reach to a gateway, instead of what was said before.

    Attributes:
        gateway: the next hop.
        interface: where it is.
        onlink: no address of the interface is in the gateway's subnet.
    """

    gateway: str
    interface: str
    onlink: bool = False

    def describe(self) -> str:
        """See ``Step``."""
        return f"default route by {self.gateway} on {self.interface}"

    def shell(self) -> str:
        """See ``Step``."""
        onlink = " onlink" if self.onlink else ""
        return (
            f'nsenter --net="$NETNS" ip route replace default via {self.gateway} '
            f"dev {self.interface}{onlink}"
        )

    def apply(self, scope: NetworkScope) -> None:
        """Two sendmsg.

        Raises:
            KernelError: ENETUNREACH (the gateway is in no subnet of the interface).
        """
        netlink = scope.inner()
        index = link_index(netlink, self.interface)
        netlink.request(
            [
                route_add(
                    "default",
                    gateway=self.gateway,
                    link=index,
                    onlink=self.onlink,
                    replace=True,
                )
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveInterface(Step[NetworkScope]):
    """Take an interface out of a running sandbox."""

    name: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"remove {self.name} from the sandbox"

    def shell(self) -> str:
        """See ``Step``."""
        return f'nsenter --net="$NETNS" ip link del {self.name}'

    def apply(self, scope: NetworkScope) -> None:
        """One sendmsg; fine when it is gone."""
        try:
            scope.inner().request([link_delete(self.name)])
        except KernelError as error:
            if error.errno != errno.ENODEV:
                raise
