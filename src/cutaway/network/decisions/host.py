"""What the host needs: predefined networks, forwarding, the firewall. Pure."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cutaway.network.book import Book
from cutaway.network.decisions import restoring
from cutaway.network.decisions.networks import (
    default_bridge_request,
    plan_network,
    timestamp,
)
from cutaway.network.drivers import Driver, DriverContext
from cutaway.network.facts import NetworkFacts
from cutaway.network.firewall.steps import (
    InstallFirewall,
)
from cutaway.network.ipams.base import Ipam
from cutaway.network.ipams.surroundings import Surroundings
from cutaway.network.network import Network, NetworkRequest
from cutaway.network.settings import NetworkSettings
from cutaway.network.steps import (
    DeleteLinkGroup,
    EnableForwarding,
    NetworkScope,
)
from cutaway.steps import Plan

PREDEFINED_BARE = (("host", "host"), ("none", "null"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDecisions:
    """Decides what an engine needs of its host, whatever its users ask for.

    Attributes:
        book: read; only leases are taken in it.
        settings: what the daemon was told.
        drivers: by name; a name that is not built in is a plugin's.
        ipams: those that never wait, by name; plugins are asked by the controller.
        context: what drivers must know.
        trash_group: link group of what is to be deleted.
    """

    book: Book
    settings: NetworkSettings
    drivers: Mapping[str, Driver]
    ipams: Mapping[str, Ipam]
    context: DriverContext
    trash_group: int

    # The start.

    def bare_networks(self) -> list[Network]:
        """Return the predefined networks ``host`` and ``none`` that have no record yet."""
        names = {n.name for n in self.book.networks.values() if n.predefined}
        return [
            Network(
                id=predefined_id(self.context.instance, name),
                name=name,
                driver=driver,
                created=timestamp(),
                predefined=True,
            )
            for name, driver in PREDEFINED_BARE
            if name not in names
        ]

    def default_bridge(self, facts: NetworkFacts, old: Network | None) -> Network:
        """Decide the default network; it stays as it was while that still fits.

        Raises:
            CutawayError: the flags can't be fulfilled, or no pool is free.
        """
        others = [n for n in self.book.networks.values() if n is not old]
        around = Surroundings.of(facts, others)
        request = default_bridge_request(self.settings, facts)
        if old is not None and not request.ipam and self._still_fits(old, request, facts):
            request = replace(request, ipam=old.ipam)
        network = plan_network(
            request,
            self.drivers["bridge"],
            self.settings,
            around,
            network_id=old.id if old else predefined_id(self.context.instance, "bridge"),
            ipam=self.ipams["default"],
        )
        link = facts.link(network.device)
        return replace(
            network,
            created=old.created if old else network.created,
            predefined=True,
            device_is_ours=link is None
            or self.context.owner(link.alias) == ("network", network.id),
        )

    def _still_fits(self, old: Network, request: NetworkRequest, facts: NetworkFacts) -> bool:
        if old.enable_ipv6 != request.enable_ipv6 or old.device != self.settings.bridge:
            return False
        if self.book.endpoints_of(old.id):
            return True
        subnets = [c.network for c in old.ipam if c.subnet]
        return not any(facts.in_the_way(s, but_devices=[old.device]) for s in subnets)

    def plan_restoration(self, facts: NetworkFacts) -> Plan[NetworkScope]:
        """Return what makes the host fit the book."""
        book = self.book
        orphans = restoring.plan_orphans(
            book.networks,
            book.endpoints,
            facts,
            context=self.context,
            trash_group=self.trash_group,
        )
        devices = restoring.plan_devices(
            book.networks.values(),
            book.endpoints.values(),
            facts,
            drivers=self.drivers,
            context=self.context,
        )
        forwarding = self.plan_forwarding(facts, list(book.networks.values()))
        return (
            *orphans,
            # Before the bridges: they must not forward a single packet unguarded.
            self.plan_firewall("start", also_no_router=[s.version for s in forwarding]),
            *devices,
            *forwarding,
            DeleteLinkGroup(why="left over", group=self.trash_group),
        )

    def plan_forwarding(
        self, facts: NetworkFacts, networks: list[Network]
    ) -> tuple[EnableForwarding, ...]:
        """Return what switches forwarding on for those of the networks that need it."""
        if not self.settings.ip_forward:
            return ()
        bridges = [n for n in networks if n.driver == "bridge" and not n.config_only]
        missing = []
        if not facts.forwarding and any(n.enable_ipv4 for n in bridges):
            missing.append(4)
        if not facts.forwarding_v6 and any(n.enable_ipv6 for n in bridges):
            missing.append(6)
        return tuple(
            EnableForwarding(why="--ip-forward", version=v, marker=self.forwarding_marker(v))
            for v in missing
        )

    def forwarding_marker(self, version: int) -> str:
        """Return the file that says forwarding was off before this engine needed it."""
        return os.path.join(self.settings.run_directory, f"ipv{version}-forwarding-was-off")

    def no_router(self) -> tuple[int, ...]:
        """Return the IP versions that the host did not forward before, and shall not for others."""
        return tuple(v for v in (4, 6) if os.path.exists(self.forwarding_marker(v)))

    def plan_firewall(self, why: str, *, also_no_router: Iterable[int] = ()) -> InstallFirewall:
        """Return the step that puts the whole firewall in place."""
        return InstallFirewall(
            why=why,
            instance=self.settings.instance,
            entries=restoring.all_entries(self.book.networks, self.book.sandboxes.values()),
            no_router=tuple(sorted({*self.no_router(), *also_no_router})),
        )


def predefined_id(instance: str, name: str) -> str:
    """Return the id of a network that is always there.

    It follows from the engine's name, so that a database that was lost and rebuilt still knows
    the bridge on the host, whose alias says this id.
    """
    return hashlib.sha256(f"{instance}/{name}".encode()).hexdigest()
