"""The first thing an engine does with networks: make the host fit the records again.

Pure. What a crash, a reboot or somebody's ``ip link del`` left is put right by a plan:

- a bridge without a device is made anew, and the links of running containers are put back on it;
- a link that carries our name but no record is an orphan, and goes;
- the firewall is installed whole, in one transaction, from the records.

Every object says in its alias whose it is (``cutaway endpoint 3f…``), so another engine's are
never touched.
"""

from collections.abc import Iterable, Mapping

from cutaway.network.decisions.endpoints import sandbox_entries
from cutaway.network.drivers import Driver, DriverContext
from cutaway.network.endpoint import Endpoint
from cutaway.network.facts import NetworkFacts
from cutaway.network.firewall.entries import network_entries
from cutaway.network.firewall.sets import Entry
from cutaway.network.network import ICC_OPTION, Network
from cutaway.network.sandbox import Sandbox
from cutaway.network.steps import AttachPorts, DeleteLink, NetworkScope, RetireLinks
from cutaway.steps import Step


def plan_devices(
    networks: Iterable[Network],
    endpoints: Iterable[Endpoint],
    facts: NetworkFacts,
    *,
    drivers: Mapping[str, Driver],
    context: DriverContext,
) -> list[Step[NetworkScope]]:
    """Return what brings every network's device back, with its ports."""
    present = {link.name: link for link in facts.links}
    by_network: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        if endpoint.host_interface in present:
            by_network.setdefault(endpoint.network_id, []).append(endpoint)
    steps: list[Step[NetworkScope]] = []
    for network in networks:
        if network.config_only:
            continue
        steps += drivers[network.driver].plan_network(network, facts, context)
        device = present.get(network.device)
        stray = tuple(
            e.host_interface
            for e in by_network.get(network.id, ())
            if device is None or present[e.host_interface].master != device.index
        )
        if stray:
            steps.append(
                AttachPorts(
                    why=f"network {network.name} lost its bridge",
                    bridge=network.device,
                    names=stray,
                    isolated=not network.option(ICC_OPTION, default=True),
                )
            )
    return steps


def plan_orphans(
    networks: Mapping[str, Network],
    endpoints: Mapping[str, Endpoint],
    facts: NetworkFacts,
    *,
    context: DriverContext,
    trash_group: int,
) -> list[Step[NetworkScope]]:
    """Return what removes our links that no record knows."""
    steps: list[Step[NetworkScope]] = []
    retired = []
    for link in facts.links:
        owner = context.owner(link.alias)
        if owner is None:
            continue
        what, identifier = owner
        if what == "endpoint" and identifier not in endpoints:
            retired.append(link.name)
        elif what == "network" and identifier not in networks:
            steps.append(DeleteLink(why="no network has this device", name=link.name))
    if retired:
        step = RetireLinks(why="no endpoint has these", names=tuple(retired), group=trash_group)
        steps.insert(0, step)
    return steps


def all_entries(networks: Mapping[str, Network], sandboxes: Iterable[Sandbox]) -> tuple[Entry, ...]:
    """Return every element of the firewall."""
    entries = [e for n in networks.values() for e in network_entries(n)]
    entries += [e for s in sandboxes for e in sandbox_entries(s, networks)]
    return tuple(dict.fromkeys(entries))
