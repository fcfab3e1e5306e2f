"""The plugins that were asked so far, each activated once.

Docker's counterpart: ``pkg/plugins`` ``Get``.
"""

import threading
from dataclasses import dataclass
from functools import partial

from cutaway.plugins.client import (
    CALL_TIMEOUT_S,
    CONNECT_PATIENCE_S,
    Answer,
    CallsInProgress,
    PluginClient,
)
from cutaway.plugins.discovery import PluginDirectories, find_plugin
from cutaway.plugins.errors import PluginLacks

ACTIVATE = "Plugin.Activate"


class Manifest(Answer):
    """The answer to the handshake: what the plugin is."""

    implements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that has answered the handshake.

    Attributes:
        client: to ask it with.
        implements: ``VolumeDriver``, ``NetworkDriver``, ``IpamDriver`` …
    """

    client: PluginClient
    implements: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name it was found by."""
        return self.client.address.name


class PluginRegistry:
    """Finds and activates plugins. Any thread; ``_lock`` guards ``_plugins``, never held in a call.

    Args:
        directories: where to look.
        timeout_s: see ``PluginClient``.
        patience_s: see ``PluginClient``.
    """

    def __init__(
        self,
        directories: PluginDirectories | None = None,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        patience_s: float = CONNECT_PATIENCE_S,
    ) -> None:
        self.directories = directories or PluginDirectories()
        self._calls = CallsInProgress()
        self._client = partial(
            PluginClient, calls=self._calls, timeout_s=timeout_s, patience_s=patience_s
        )
        self._lock = threading.Lock()
        self._plugins: dict[str, Plugin] = {}

    def close(self) -> None:
        """End the calls that wait for plugins, and those to come, with an error."""
        self._calls.cut()

    def get(self, name: str, implements: str, *, timeout_s: float | None = None) -> Plugin:
        """Return a plugin by its name, activated; its file is looked up each time.

        Args:
            name: the plugin's.
            implements: what is wanted of it.
            timeout_s: see ``PluginClient.call``.

        Raises:
            PluginNotFound: no plugin directory knows the name; at once.
            PluginLacks: it does not implement that.
            PluginFailed, PluginRefused: it can't be activated.
        """
        address = find_plugin(name, self.directories)
        with self._lock:
            plugin = self._plugins.get(name)
        if plugin is None or plugin.client.address != address:
            client = self._client(address)
            manifest = client.call(ACTIVATE, None, Manifest, timeout_s=timeout_s)
            plugin = Plugin(client, manifest.implements)
            with self._lock:
                self._plugins[name] = plugin
        if implements not in plugin.implements:
            # Another program may have taken the socket's place since: ask it anew the next time.
            with self._lock:
                self._plugins.pop(name, None)
            raise PluginLacks(name, implements, plugin.implements)
        return plugin

    def active(self, implements: str) -> list[str]:
        """Return the names of those that were activated and implement this; nobody is asked."""
        with self._lock:
            return sorted(n for n, p in self._plugins.items() if implements in p.implements)
