"""Plugins: programs beside the engine that make volumes, networks or addresses for it.

The problem: nobody can build every kind of storage and wire into an engine. Docker lets a program
of somebody else answer instead: it listens on a socket, and is asked over HTTP. Such a program may
hang, lie or die, and must then neither stop the engine nor mislead it.

The model: a plugin is *found* by its name in a few directories, and *activated* by a handshake in
which it says what it *implements*: ``VolumeDriver``, ``NetworkDriver``, ``IpamDriver``. From then
on a *method* (``VolumeDriver.Mount``) is one POST with a JSON object and one JSON object back.
Every answer is read into a declared type: what does not fit it is refused as the plugin's error.

Words: *plugin directory* (holds sockets ``NAME.sock``, or files ``NAME.spec`` and ``NAME.json``
that say an address), *handshake* (``/Plugin.Activate``).

Read ``discovery.py``, ``client.py``, ``registry.py``.

Docker's counterpart: ``pkg/plugins`` of moby (its "legacy" plugins; managed ones, which Docker
installs from a registry and runs as containers, there are none).
"""

from cutaway.plugins.client import Answer, PluginClient
from cutaway.plugins.discovery import PluginAddress, PluginDirectories, find_plugin
from cutaway.plugins.errors import PluginFailed, PluginLacks, PluginNotFound, PluginRefused
from cutaway.plugins.registry import Plugin, PluginRegistry

__all__ = [
    "Answer",
    "Plugin",
    "PluginAddress",
    "PluginClient",
    "PluginDirectories",
    "PluginFailed",
    "PluginLacks",
    "PluginNotFound",
    "PluginRefused",
    "PluginRegistry",
    "find_plugin",
]
