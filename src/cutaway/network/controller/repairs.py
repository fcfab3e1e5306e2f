"""After an engine's death: what it was in the middle of changing in a running sandbox is finished.

``connect`` writes the record before the interface is made, ``disconnect`` deletes it after the
interface is gone. So a record without its interface is the one thing that a death can leave; the
interface is made (again). What the container did to its interfaces itself is left alone.
"""

from collections.abc import Mapping

from cutaway.linux.rtnetlink import IFF, dump_addresses, dump_links, dump_routes
from cutaway.network.controller.parts import ControllerParts
from cutaway.network.decisions.endpoints import plan_routes
from cutaway.network.endpoint import Endpoint
from cutaway.network.facts import NetworkFacts
from cutaway.network.namespace import inside
from cutaway.network.sandbox import Sandbox
from cutaway.network.sandbox_steps import RemoveInterface
from cutaway.network.steps import NetworkScope
from cutaway.steps import Ledger, Step

_WHY = "the engine died while it connected this"


class Repairs(ControllerParts):
    """What ``start`` does to sandboxes that run."""

    def _repair_sandboxes(
        self, live: Mapping[str, int | None], facts: NetworkFacts, ledger: Ledger
    ) -> None:
        for sandbox_id, netns_fd in live.items():
            sandbox = self._book.sandboxes.get(sandbox_id)
            if sandbox is None or netns_fd is None or not any(e.mac for e in sandbox.endpoints):
                continue
            steps = self._plan_repair(sandbox, netns_fd, facts)
            self._apply_inside(tuple(steps), netns_fd, ledger)

    def _plan_repair(
        self, sandbox: Sandbox, netns_fd: int, facts: NetworkFacts
    ) -> list[Step[NetworkScope]]:
        on_host = {link.name for link in facts.links}
        with inside(netns_fd):
            netlink = NetworkScope.new_route_socket()
        with netlink:
            links = {link.name: link for link in dump_links(netlink)}
            configured = {a.index for a in dump_addresses(netlink)}
            has_route = any(r.destination == "default" for r in dump_routes(netlink))
        macs = {link.address for link in links.values()}
        steps: list[Step[NetworkScope]] = []
        for endpoint in sandbox.endpoints:
            if endpoint.source_interface:
                continue  # a plugin's: whoever asked for it hears that it failed, and asks again
            link = links.get(endpoint.interface)
            is_half_made = (
                link is not None and not link.flags & IFF.UP and link.index not in configured
            )
            if is_half_made or is_gone(endpoint, on_host, macs):
                steps += self._plan_again(endpoint, is_there=link is not None)
        if steps or not has_route:
            steps += plan_routes(sandbox)
        return steps

    def _plan_again(self, endpoint: Endpoint, *, is_there: bool) -> list[Step[NetworkScope]]:
        network = self._book.networks[endpoint.network_id]
        driver = self._decisions.drivers[network.driver]
        steps = driver.plan_endpoint(network, endpoint, self._decisions.context)
        removal = [RemoveInterface(why=_WHY, name=endpoint.interface)] if is_there else []
        return [*removal, *steps]


def is_gone(endpoint: Endpoint, on_host: set[str], macs: set[str]) -> bool:
    """An endpoint has no interface: on the host, or for macvlan in the sandbox under any name."""
    if endpoint.host_interface:
        return endpoint.host_interface not in on_host
    return bool(endpoint.interface) and endpoint.mac not in macs
