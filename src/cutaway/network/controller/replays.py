"""Replays: IPAM plugins that forget with the engine are told again at its start what they gave.

Docker's counterpart: ``reservePools`` of libnetwork's ``controller.go``.
"""

import logging
import threading
from collections.abc import Iterable

from cutaway.errors import CutawayError
from cutaway.network.controller.plugged import SETTLE_S, Plugged
from cutaway.network.ipams.remote import RemoteIpam
from cutaway.network.network import Network
from cutaway.network.remote.asking import Asker
from cutaway.steps import Ledger

log = logging.getLogger(__name__)


class Replays(Plugged):
    """What the controller does with plugins whose capabilities say ``RequiresRequestReplay``."""

    def _begin_replays(self) -> None:
        """Replay every network's addresses, a thread a network: nobody waits for a plugin here."""
        for network in self._book.networks.values():
            if network.has_plugged_ipam:
                name = f"replay of {network.id[:12]}"
                thread = threading.Thread(
                    target=self._replay, args=(network,), name=name, daemon=True
                )
                self._replays[network.id] = thread
                thread.start()

    def _replay(self, network: Network) -> None:
        """Ask for what the network has, if its plugin requires that; a failure is logged.

        What is to be released comes first: the plugin may give the same ids to something else.
        """
        self._releases.settle(network.id, SETTLE_S)
        asker = Asker(self._plugins, Ledger("engine"), f"replay of network {network.name}")
        ipam = RemoteIpam(network.ipam_driver, asker, self._book.leases)
        try:
            if not ipam.capabilities().requires_request_replay:
                return
            with self._lock:
                endpoints = self._book.endpoints_of(network.id)
            again = ipam.replay(network, endpoints)
        except CutawayError as error:
            log.warning("the addresses of network %s are not replayed: %s", network.name, error)
            return
        with self._lock:
            if self._scope is not None and network.id in self._book.networks:
                self._book.note_pool_ids(again)

    def _settle(self, networks: Iterable[str]) -> None:
        """Wait a moment for replays, too."""
        networks = list(networks)
        for network_id in networks:
            replay = self._replays.get(network_id)
            if replay is not None:
                replay.join(SETTLE_S)
        super()._settle(networks)
