"""The controller: owns the networks, and is what the engine talks to.

It decides with its lock held (``decisions``), writes the records (``book``), and then acts on the
kernel by steps. A record is written before the kernel is touched and deleted after: whatever the
host has, a record knows, and after a crash ``start`` puts right whatever does not match.

Docker's counterpart: libnetwork's ``controller.go``.
"""

from collections.abc import Mapping

from cutaway.linux.netlink import NETLINK_NETFILTER, NETLINK_ROUTE
from cutaway.network.controller.answers import Answers
from cutaway.network.controller.live import LiveChanges
from cutaway.network.controller.repairs import Repairs
from cutaway.network.facts import (
    NetworkFacts,
    probe_ephemeral_ports,
    probe_network_facts,
)
from cutaway.network.services.keeper import NOTHING
from cutaway.network.shared_socket import SharedSocket
from cutaway.network.steps import DeleteLinkGroup, NetworkScope
from cutaway.network.userland.protocol import Refill
from cutaway.steps import Ledger


class Controller(LiveChanges, Answers, Repairs):
    """All networks of one engine. Synchronous; any thread.

    Args:
        store: where records are kept; used by the methods that say so.
        settings: what the daemon was told.
        plugins: finds drivers that are not built in.

    Its kernel sockets belong to the network namespace of the thread that calls ``start``.
    """

    def start(self, live: Mapping[str, int | None]) -> Ledger:
        """Read the records, make the predefined networks, put the host in order.

        Writes the store.

        Args:
            live: the containers that run, with their network namespaces' descriptors.

        Returns:
            What was changed on the host.

        Raises:
            CutawayError: the default network can't be made as the flags want it.
            OSError: the kernel refused.
        """
        ledger = Ledger("engine")
        with self._lock:
            self._scope = scope = NetworkScope(
                SharedSocket(NETLINK_ROUTE),
                SharedSocket(NETLINK_NETFILTER),
                userland=self._services.client,
                held=self._services.held,
            )
            self._book.ports.ephemeral = probe_ephemeral_ports()
            self._book.load()
            gone = [s for i, s in self._book.sandboxes.items() if i not in live]
            self._book.remove_sandboxes(gone)
            self._forget_idle_gateways()
            self._release_due()
            facts = probe_network_facts(scope.host)
            self._ensure_predefined(facts)
            self._apply(self._decisions.plan_restoration(facts), ledger)
            self._seen = self._count_commits()
            self._joined = {i for i in live if i in self._book.sandboxes}
            for sandbox_id, netns_fd in live.items():
                if netns_fd is not None and sandbox_id in self._book.sandboxes:
                    self._services.remember(sandbox_id, netns_fd)
            self._repair_sandboxes(live, facts, ledger)
            self._reconcile_services(self._services.find(), ledger)
            self._begin_replays()
        return ledger

    def _ensure_predefined(self, facts: NetworkFacts) -> None:
        for network in self._decisions.bare_networks():
            self._book.add_network(network)
        found = [n for n in self._book.networks.values() if n.predefined and n.name == "bridge"]
        old = found[0] if found else None
        if self.settings.bridge != "none":
            self._book.add_network(self._decisions.default_bridge(facts, old))
        elif old is not None:
            self._book.remove_network(old)

    def close(self) -> None:
        """Close the sockets; everything on the host stays as it is."""
        with self._lock:
            if self._scope is not None:
                self._scope.host.close()
                self._scope.firewall.close()
                self._services.close()
                self._scope = None

    @property
    def needs_upkeep(self) -> bool:
        """A container runs, so its rules must stay; or what gone ones had waits to be released."""
        return self._has_retired_links or bool(self._book.sandboxes) or self._releases.waiting

    def check_firewall(self) -> bool:
        """Look whether somebody flushed our tables, and put them back; delete retired links.

        One system call when nothing changed. Call it every second or two while ``needs_upkeep``.

        Returns:
            True when the firewall had to be restored.
        """
        self._releases.retry()
        self._delete_retired_links()
        with self._lock:
            now = self._count_commits()
            changes, own = (new - old for new, old in zip(now, self._seen, strict=True))
            intact = changes == own or self._rules_are_whole(self._host_scope())
            if not intact:
                step_all = self._decisions.plan_firewall("somebody changed it")
                self._apply((step_all,), Ledger("engine"))
                self._services.client.tell(Refill())
                now = self._count_commits()
            self._seen = now
            if not self._services.client.is_alive():
                self._reconcile_services(NOTHING, Ledger("engine"))
            return not intact

    def _delete_retired_links(self) -> None:
        """Without the lock: it waits for a grace period of the kernel, and needs no record."""
        if self._has_retired_links:
            self._has_retired_links = False
            step = DeleteLinkGroup(why="retired", group=self._decisions.trash_group)
            self._apply((step,), Ledger("engine"))
