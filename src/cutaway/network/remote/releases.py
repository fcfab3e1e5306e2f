"""What plugins hold and must be told to let go of; remembered until they have heard it.

A plugin may be dead at the moment a container ends, and nobody can wait for it then. So a release
is a record: it is carried out in the background, in the order of its network, and tried again
until the plugin has answered. One that answers with an error has heard it: it never had the thing,
or has lost it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from cutaway.errors import CutawayError
from cutaway.network.remote.asking import Asker
from cutaway.network.remote.calls import Call
from cutaway.plugins import PluginFailed, PluginNotFound, PluginRefused, PluginRegistry
from cutaway.steps import Ledger

log = logging.getLogger(__name__)
RETRY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Calls that take something back.

    Attributes:
        id: of the network or endpoint.
        network_id: releases of one network are carried out in order.
        sandbox_id: whose endpoint; empty for a network.
        calls: what is still to be said, in order.
    """

    id: str
    network_id: str
    sandbox_id: str = ""
    calls: tuple[Call, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the record that ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Release":
        """Read what ``to_json`` wrote."""
        values = dict(document)
        values["calls"] = tuple(Call(**call) for call in values["calls"])
        return cls(**values)


class Releases:
    """Carries releases out, a thread a network. Any thread; ``_changed`` guards all fields.

    Args:
        plugins: finds them.
        forget: called when a release has been heard; takes the controller's lock.
    """

    def __init__(self, plugins: PluginRegistry, forget: Callable[[Release], None]) -> None:
        self._plugins = plugins
        self._forget = forget
        self._changed = threading.Condition()
        self._lanes: dict[str, deque[Release]] = {}
        self._known: set[str] = set()
        self._unheard: dict[str, tuple[float, Release]] = {}

    @property
    def waiting(self) -> bool:
        """Some were not heard and will be tried again."""
        return bool(self._unheard)

    def submit(self, releases: Iterable[Release]) -> None:
        """Begin to carry out those that are new."""
        with self._changed:
            for release in releases:
                if release.id not in self._known:
                    self._known.add(release.id)
                    self._enqueue(release)

    def _enqueue(self, release: Release) -> None:
        lane = self._lanes.get(release.network_id)
        if lane is not None:
            lane.append(release)
            return
        self._lanes[release.network_id] = deque([release])
        name = f"releases of {release.network_id[:12]}"
        threading.Thread(
            target=self._work, args=(release.network_id,), name=name, daemon=True
        ).start()

    def retry(self) -> None:
        """Try those again that were not heard a while ago."""
        now = time.monotonic()
        with self._changed:
            due = [r for since, r in self._unheard.values() if now - since > RETRY_S]
            for release in due:
                del self._unheard[release.id]
                self._enqueue(release)

    def settle(self, network_id: str, timeout_s: float) -> None:
        """Wait until nothing of a network is being carried out; call it with no lock held."""
        with self._changed:
            self._changed.wait_for(lambda: network_id not in self._lanes, timeout_s)

    def _work(self, network_id: str) -> None:
        while True:
            with self._changed:
                lane = self._lanes[network_id]
                if not lane:
                    del self._lanes[network_id]
                    self._changed.notify_all()
                    return
                release = lane.popleft()
            left = self._carry_out(release)
            if left:
                with self._changed:
                    unheard = replace(release, calls=left)
                    self._unheard[release.id] = (time.monotonic(), unheard)
            else:
                self._forget(release)
                with self._changed:
                    self._known.discard(release.id)

    def _carry_out(self, release: Release) -> tuple[Call, ...]:
        """Make the calls; return those from the first one on that nobody heard."""
        asker = Asker(self._plugins, Ledger("engine"), "released")
        for number, call in enumerate(release.calls):
            try:
                asker.tell(call)
            except PluginRefused as refusal:
                if refusal.status != 404:
                    log.warning("releasing: %s", refusal)
            except (PluginFailed, PluginNotFound) as failure:
                log.warning("releasing, tried again later: %s", failure)
                return release.calls[number:]
            except CutawayError as error:
                log.warning("releasing: %s", error)
        return ()
