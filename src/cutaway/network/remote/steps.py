"""Steps that take a plugin's link into a sandbox, give it its routes, and hand it back.

They are applied by a thread that is inside the sandbox's namespace; see ``NetworkScope``.
"""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cutaway.linux import KernelError
from cutaway.linux.rtnetlink import IFF, get_link, link_index, link_set, route_add
from cutaway.linux.sockets import network_namespace_of
from cutaway.network.steps import NetworkScope
from cutaway.plugins import PluginFailed
from cutaway.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRoute(Step[NetworkScope]):
    """Add a route that a plugin wants.

    Attributes:
        destination: a prefix.
        gateway: the next hop; empty: it is on the wire.
        interface: where it is.
    """

    destination: str
    gateway: str
    interface: str

    def describe(self) -> str:
        """See ``Step``."""
        via = f" by {self.gateway}" if self.gateway else ""
        return f"route to {self.destination}{via} on {self.interface}"

    def shell(self) -> str:
        """See ``Step``."""
        via = f"via {self.gateway} " if self.gateway else ""
        return (
            f'nsenter --net="$NETNS" ip route replace {self.destination} {via}dev {self.interface}'
        )

    def apply(self, scope: NetworkScope) -> None:
        """Two sendmsg.

        Raises:
            KernelError: ENETUNREACH (the next hop is in no subnet of the interface).
        """
        netlink = scope.inner()
        index = link_index(netlink, self.interface)
        gateway = self.gateway or None
        netlink.request([route_add(self.destination, gateway=gateway, link=index, replace=True)])


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeLinkIn(Step[NetworkScope]):
    """Move a link of the host, which a plugin made, into the sandbox.

    Attributes:
        plugin: whose it is.
        source: its name on the host.
        inner_name: its name in the sandbox, ``eth0``.
        mac: the Ethernet address it is to have; empty: its own.
    """

    plugin: str
    source: str
    inner_name: str
    mac: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"take {self.source} of the plugin {self.plugin} in as {self.inner_name}"

    def shell(self) -> str:
        """See ``Step``."""
        address = f" address {self.mac}" if self.mac else ""
        return (
            f'ip link set {self.source} down\nip link set {self.source} netns "$NETNS"\n'
            f'nsenter --net="$NETNS" ip link set {self.source} name {self.inner_name}{address}'
        )

    def apply(self, scope: NetworkScope) -> None:
        """Three sendmsg. A link may have an address changed, and be renamed, only while down.

        Raises:
            PluginFailed: the host has no such link.
            KernelError: EEXIST (the name is taken in the sandbox).
        """
        try:
            link = get_link(scope.host, self.source)
        except KernelError as error:
            raise PluginFailed(
                self.plugin,
                "NetworkDriver.Join",
                f"it answered the interface {self.source}, which this host does not have",
                answered=True,
            ) from error
        if link.flags & IFF.LOOPBACK:
            raise PluginFailed(
                self.plugin, "NetworkDriver.Join", f"it answered {self.source}, the host's loopback"
            )
        down = link_set(link.index, up=False)
        scope.host.request([down, link_set(link.index, netns_fd=scope.netns_fd)])
        inside = scope.inner()
        index = link_index(inside, self.source)
        mac = self.mac or None
        inside.request([link_set(index, new_name=self.inner_name), link_set(index, address=mac)])

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Hand it back, if the sandbox is still there to be asked."""
        if scope.sandbox is not None:
            with suppress(KernelError):
                hand_back(scope, self.inner_name, self.source)


def hand_back(scope: NetworkScope, inner_name: str, source: str) -> None:
    """Give a link of the sandbox its old name, and move it to the host.

    Raises:
        KernelError: ENODEV (it is gone), EEXIST (the host has one of that name).
    """
    inside = scope.inner()
    index = link_index(inside, inner_name)
    inside.request([link_set(index, up=False), link_set(index, new_name=source)])
    home = network_namespace_of(scope.host.fileno())
    try:
        inside.request([link_set(index, netns_fd=home)])
    finally:
        os.close(home)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandLinkBack(Step[NetworkScope]):
    """Move a plugin's link from the sandbox back to the host, under the name it had there."""

    inner_name: str
    source: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"hand {self.inner_name} back as {self.source}"

    def shell(self) -> str:
        """See ``Step``."""
        inside = 'nsenter --net="$NETNS" ip link set'
        return (
            f"{inside} {self.inner_name} down\n{inside} {self.inner_name} name {self.source}\n"
            f"{inside} {self.source} netns 1"
        )

    def apply(self, scope: NetworkScope) -> None:
        """Three sendmsg; fine when it is gone.

        Raises:
            KernelError: EEXIST (the host has one of that name).
        """
        try:
            hand_back(scope, self.inner_name, self.source)
        except KernelError as error:
            if error.errno != errno.ENODEV:
                raise
