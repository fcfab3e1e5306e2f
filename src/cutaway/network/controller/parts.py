"""What all of the controller works with: the book, its lock, the host's sockets.

Plugins are asked without the lock.

``_lock`` guards the book, and is not held while a starting container joins: that waits for the
kernel's own lock of all links, and the event loop's thread needs the book. The host's sockets, and
what is told to the userland process, have locks of their own, each for one exchange.
"""

import threading
import zlib
from dataclasses import replace

from cutaway.linux.nftables import dump_elements, dump_rules, get_generation
from cutaway.network.book import Book
from cutaway.network.decisions import restoring
from cutaway.network.decisions.decisions import Decisions
from cutaway.network.drivers import DriverContext, Drivers
from cutaway.network.endpoint import Offer
from cutaway.network.facts import has_ipv6
from cutaway.network.firewall.ruleset import count_rules
from cutaway.network.firewall.sets import Tables, wanted_keys
from cutaway.network.ipams.registry import built_in_ipams
from cutaway.network.namespace import inside
from cutaway.network.naming.files import has_name_server
from cutaway.network.remote.releases import Release, Releases
from cutaway.network.sandbox import Sandbox
from cutaway.network.services.keeper import NOTHING, Services
from cutaway.network.settings import NetworkSettings
from cutaway.network.steps import NetworkScope
from cutaway.network.store import LeaseStore
from cutaway.network.userland.protocol import State
from cutaway.plugins import PluginRegistry
from cutaway.steps import Ledger, Plan

_GROUP_BASE = 0x63740000  # "ct": a number no administrator uses by chance


class ControllerParts:
    """The parts, and the few moves that everything is made of."""

    def __init__(
        self, store: LeaseStore, settings: NetworkSettings, plugins: PluginRegistry | None = None
    ) -> None:
        self.settings = settings
        self._book = Book(store)
        self._lock = threading.RLock()
        self._scope: NetworkScope | None = None
        self._seen = (0, 0)
        self._joined: set[str] = set()
        self._has_retired_links = False
        self._services = Services(settings)
        group = _GROUP_BASE | (zlib.crc32(settings.instance.encode()) & 0xFFFE)
        self._plugins = plugins or PluginRegistry()
        self._releases = Releases(self._plugins, self._forget_release)
        self._replays: dict[str, threading.Thread] = {}
        self._offers: dict[str, dict[str, Offer]] = {}
        self._decisions = Decisions(
            book=self._book,
            settings=settings,
            drivers=Drivers(),
            ipams=built_in_ipams(settings, self._book.leases),
            context=DriverContext(instance=settings.instance, group=group, has_ipv6=has_ipv6()),
            trash_group=group | 1,
        )

    def _forget_release(self, release: Release) -> None:
        """Plugins have heard it; nobody waits for that after the engine's end."""
        with self._lock:
            if self._scope is not None:
                self._book.forget_release(release)

    def _host_scope(self) -> NetworkScope:
        if self._scope is None:
            raise RuntimeError("the controller was not started, or was closed")
        return self._scope

    def _apply(self, plan: Plan[NetworkScope], ledger: Ledger) -> None:
        ledger.apply_all(plan, self._host_scope())

    def _apply_inside(self, plan: Plan[NetworkScope], netns_fd: int | None, ledger: Ledger) -> None:
        if not plan or netns_fd is None:
            return
        host = self._host_scope()
        scope = replace(host, netns_fd=netns_fd)
        with inside(netns_fd):
            try:
                ledger.apply_all(plan, scope)
            finally:
                scope.close_sandbox()

    def _reconcile_services(self, state: State, ledger: Ledger) -> None:
        """Make the userland process serve what the book says; start one if it takes one."""
        sandboxes = list(self._book.sandboxes.values())
        if any(self._needs_services(s) for s in sandboxes) and self._services.ensure(ledger):
            state = NOTHING
        self._services.reconcile(
            state,
            sandboxes,
            self._book.networks,
            apply=self._apply,
            apply_inside=self._apply_inside,
        )

    def _needs_services(self, sandbox: Sandbox) -> bool:
        return bool(sandbox.ports) or has_name_server(sandbox, self._book.networks)

    def _count_commits(self) -> tuple[int, int]:
        """Return the numbers of the rule set's changes: anybody's, and our own among them."""
        scope = self._host_scope()
        with scope.commits.lock:
            return get_generation(scope.firewall), scope.commits.count

    def _rules_are_whole(self, scope: NetworkScope) -> bool:
        """Our tables have all rules, and all elements that the records ask for."""
        tables = Tables(self.settings.instance)
        found = sum(len(dump_rules(scope.firewall, t)) for t in (tables.inet, tables.bridge))
        if found != count_rules(tables, no_router=self._decisions.no_router()):
            return False
        joined = [s for i, s in self._book.sandboxes.items() if i in self._joined]
        wanted = wanted_keys(restoring.all_entries(self._book.networks, joined))
        return all(
            keys <= {e.key for e in dump_elements(scope.firewall, tables.set(name).table, name)}
            for name, keys in wanted.items()
        )
