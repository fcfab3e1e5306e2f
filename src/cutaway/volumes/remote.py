"""Volumes that a plugin makes: Docker's protocol ``VolumeDriver``, asked and not trusted.

A plugin counts who has a volume mounted by the ids it is told. So each id is noted on disk before
the plugin is asked to mount, and forgotten after it has unmounted: an engine that died in between
knows what to give back. Here an id is the container's, so that asking twice changes nothing.

Source: Docker's "Volume plugin" protocol; moby ``volume/drivers/proxy.go``, ``adapter.go``.
"""

import json
import logging
import os
import shlex
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from cutaway.errors import CutawayError, System
from cutaway.files import read_json, write_json
from cutaway.plugins import Answer, Plugin, PluginNotFound, PluginRefused, PluginRegistry
from cutaway.steps import Ledger, Step
from cutaway.volumes.errors import UnknownVolumeDriver, VolumeMountFailed, VolumeNotFound
from cutaway.volumes.volume import Volume

log = logging.getLogger(__name__)
INTERFACE = "VolumeDriver"
LIST_S = 2.0
"""How long a list waits for a plugin; dockerd waits a minute, and so does whoever asked."""


class RemoteVolume(msgspec.Struct, frozen=True, rename="pascal"):
    """A volume as its plugin tells it."""

    name: str = ""
    mountpoint: str = ""
    created_at: str = ""
    status: dict[str, Any] = {}


class Found(Answer):
    """The answer to ``Get``."""

    volume: RemoteVolume


class Listed(Answer):
    """The answer to ``List``."""

    volumes: tuple[RemoteVolume, ...] = ()


class Mounted(Answer):
    """The answer to ``Mount`` and ``Path``."""

    mountpoint: str = ""


class Capability(msgspec.Struct, frozen=True, rename="pascal"):
    """What a driver says of itself."""

    scope: str = ""


class Capabilities(Answer):
    """The answer to ``Capabilities``."""

    capabilities: Capability = Capability()


class RemoteDriver:
    """Volumes of all plugins. Fits ``VolumeDriver``.

    Args:
        plugins: finds and asks them.
        directory: says where the notes about a volume are, by its name.
    """

    def __init__(self, plugins: PluginRegistry, directory: Callable[[str], str]) -> None:
        self._plugins = plugins
        self._directory = directory

    def create(self, name: str, driver: str, options: Mapping[str, str]) -> str:
        """Have a volume made, unless the plugin has one of this name; return the driver's scope.

        Raises:
            UnknownVolumeDriver: no plugin is called so. System: the plugin can't, or won't.
        """
        plugin = self._find(name, driver)
        if self.get(name, driver) is None:
            self._ask(plugin, "Create", {"Name": name, "Opts": dict(options)})
        return self._scope(plugin)

    def remove(self, name: str, driver: str) -> None:
        """Have a volume removed; one that the plugin has no more is no error.

        Raises:
            UnknownVolumeDriver, System: it stays.
        """
        plugin = self._find(name, driver)
        if self.get(name, driver) is not None:
            self._ask(plugin, "Remove", {"Name": name})

    def get(self, name: str, driver: str) -> RemoteVolume | None:
        """Return what the plugin says of a volume; None: it has none of this name.

        Raises:
            UnknownVolumeDriver: no plugin is called so. PluginFailed: it can't be asked.
        """
        plugin = self._find(name, driver)
        try:
            return plugin.client.call(f"{INTERFACE}.Get", {"Name": name}, Found).volume
        except PluginRefused:
            return None

    def listed(self) -> tuple[list[Volume], list[str]]:
        """Return the volumes of all plugins that were asked so far, and who did not answer.

        All are asked at once, and waited for ``LIST_S``.
        """
        drivers = self._plugins.active(INTERFACE)
        if not drivers:
            return [], []
        found: list[Volume] = []
        warnings: list[str] = []
        with ThreadPoolExecutor(len(drivers), "plugins' volumes") as pool:
            for answer in [pool.submit(self._list, driver) for driver in drivers]:
                try:
                    found += answer.result()
                except CutawayError as error:
                    warnings.append(str(error))
        return found, warnings

    def _list(self, driver: str) -> list[Volume]:
        plugin = self._plugins.get(driver, INTERFACE, timeout_s=LIST_S)
        answer = plugin.client.call(f"{INTERFACE}.List", {}, Listed, timeout_s=LIST_S)
        return [
            Volume(
                name=volume.name,
                driver=driver,
                mountpoint=volume.mountpoint,
                created_at=volume.created_at,
            )
            for volume in answer.volumes
            if volume.name
        ]

    def find(self, name: str) -> Volume:
        """Return a volume that a plugin knows, and perhaps this engine does not.

        Raises:
            VolumeNotFound: none has it; it names those that did not say.
        """
        found, silent = self.listed()
        volume = next((volume for volume in found if volume.name == name), None)
        if volume is None:
            raise VolumeNotFound(name, silent)
        return volume

    def needs_mount(self, volume: Volume) -> bool:
        """See ``VolumeDriver``: a plugin must always be asked."""
        return True

    def mount(self, volume: Volume, user: str, ledger: Ledger, *, is_again: bool) -> str:
        """Have a volume mounted for one more user.

        Raises:
            VolumeMountFailed: the plugin can't, or names a place that is none.
        """
        note = self._note(volume.name, user)
        if is_again:
            return str(read_json(note)["path"])
        plugin = self._find(volume.name, volume.driver)
        os.makedirs(os.path.dirname(note), mode=0o700, exist_ok=True)
        write_json(note, {"path": None})
        step = AskForUser(
            why=f"volume {volume.name}",
            method="Mount",
            driver=volume.driver,
            volume=volume.name,
            user=user,
        )
        try:
            path = str(ledger.apply(step, plugin))
            if not (path.startswith("/") and os.path.isdir(path)):
                raise System(f"its plugin says it is at {path!r}, which is no directory here")
        except CutawayError as error:
            # The plugin may have done it all the same.
            self.unmount(volume, user, is_last=False, ledger=ledger)
            raise VolumeMountFailed(volume.name, str(error)) from error
        write_json(note, {"path": path})
        return path

    def unmount(self, volume: Volume, user: str, *, is_last: bool, ledger: Ledger) -> None:
        """Tell the plugin that a user has gone; one that can't be told is told at the next start.

        A plugin that refuses has been told.
        """
        note = self._note(volume.name, user)
        if not os.path.exists(note):
            return
        step = AskForUser(
            why=f"user of {volume.name}",
            method="Unmount",
            driver=volume.driver,
            volume=volume.name,
            user=user,
        )
        try:
            ledger.apply(step, self._find(volume.name, volume.driver))
        except PluginRefused as error:
            log.warning("%s", error)
        except CutawayError as error:
            log.warning("volume %s stays mounted for %s: %s", volume.name, user, error)
            return
        os.unlink(note)

    def settle(self, volume: Volume, users: Collection[str], ledger: Ledger) -> None:
        """Give back what an engine that died, or could not reach the plugin, has left."""
        for user in self._noted(volume.name):
            if user not in users:
                self.unmount(volume, user, is_last=False, ledger=ledger)

    def _find(self, name: str, driver: str) -> Plugin:
        try:
            return self._plugins.get(driver, INTERFACE)
        except PluginNotFound:
            raise UnknownVolumeDriver(name, driver) from None

    def _ask(self, plugin: Plugin, method: str, arguments: Mapping[str, Any]) -> None:
        try:
            plugin.client.call(f"{INTERFACE}.{method}", arguments, Answer)
        except CutawayError as error:
            raise System(f"{method.lower()} {arguments['Name']}: {error}") from error

    def _scope(self, plugin: Plugin) -> str:
        """Return ``global`` or ``local``; a plugin that does not say is local, as in Docker."""
        try:
            answer = plugin.client.call(f"{INTERFACE}.Capabilities", {}, Capabilities)
        except CutawayError:
            return "local"
        return "global" if answer.capabilities.scope.lower() == "global" else "local"

    def _note(self, name: str, user: str) -> str:
        return os.path.join(self._directory(name), "mounted", user)

    def _noted(self, name: str) -> list[str]:
        try:
            return os.listdir(os.path.join(self._directory(name), "mounted"))
        except FileNotFoundError:
            return []


@dataclass(frozen=True, slots=True, kw_only=True)
class AskForUser(Step[Plugin]):
    """Have a plugin mount a volume for one more user, or tell it that one needs it no more.

    Attributes:
        method: ``Mount`` or ``Unmount``.
        driver: the plugin's name.
        volume: its name.
        user: the id that the plugin counts.
    """

    method: str
    driver: str
    volume: str
    user: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"have the plugin {self.driver} {self.method.lower()} {self.volume}"

    def shell(self) -> str:
        """See ``Step``."""
        body = json.dumps(self._arguments())
        socket = f"/run/docker/plugins/{self.driver}.sock"
        url = f"http://plugin/{INTERFACE}.{self.method}"
        return f"curl --unix-socket {shlex.quote(socket)} -d {shlex.quote(body)} {url}"

    def apply(self, scope: Plugin) -> Any:
        """Call the method; return where the volume is, if the plugin says it.

        Raises:
            PluginFailed, PluginRefused: see ``plugins``.
        """
        method = f"{INTERFACE}.{self.method}"
        return scope.client.call(method, self._arguments(), Mounted).mountpoint

    def _arguments(self) -> dict[str, str]:
        return {"Name": self.volume, "ID": self.user}
