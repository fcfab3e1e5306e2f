"""A volume plugin such as others write: directories that it counts the users of.

``python -m support.volume_plugin DIRECTORY NAME`` serves ``DIRECTORY/NAME.sock``. Beside it lie
``NAME.state`` (volumes, and who has each mounted), and, written by tests, ``NAME.mood``: a JSON
object that says for a method how to behave instead.
"""

import json
import os
import shutil
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.plugin_server import Method, PluginError, make_server


class VolumePlugin:
    """The state and the methods."""

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / name
        self.data = directory / f"{name}.data"
        self.lock = threading.Lock()
        known = self.path.with_suffix(".state")
        self.volumes: dict[str, dict[str, Any]] = {}
        if known.exists():
            self.volumes = json.loads(known.read_text())

    def methods(self) -> dict[str, Method]:
        """Return every method under its name in the protocol, wrapped in the plugin's mood."""
        names = ("create", "remove", "mount", "unmount", "path", "get", "list", "capabilities")
        return {
            f"VolumeDriver.{name.capitalize()}": self.moody(name, getattr(self, f"on_{name}"))
            for name in names
        }

    def moody(self, name: str, method: Method) -> Method:
        """Answer as the mood says, else as it should be; remember what changed."""

        def call(asked: dict[str, Any]) -> Mapping[str, Any]:
            mood = self.path.with_suffix(".mood")
            how = json.loads(mood.read_text()).get(name) if mood.exists() else None
            if how == "hang":
                self.path.with_suffix(".hanging").touch()
                threading.Event().wait()
            if how == "die":
                os._exit(9)
            if how == "refuse":
                raise PluginError("no room")
            if isinstance(how, dict):
                return how
            with self.lock:
                answer = method(asked)
                temporary = self.path.with_suffix(".new")
                temporary.write_text(json.dumps(self.volumes))
                temporary.rename(self.path.with_suffix(".state"))
            return answer

        return call

    def volume(self, name: str) -> dict[str, Any]:
        """Return a volume, or refuse."""
        if name not in self.volumes:
            raise PluginError(f"no such volume: {name}")
        return self.volumes[name]

    def tell(self, name: str) -> dict[str, Any]:
        """Return a volume as ``Get`` and ``List`` have it."""
        place = str(self.data / name) if self.volumes[name]["users"] else ""
        return {"Name": name, "Mountpoint": place, "Status": {"Users": self.volumes[name]["users"]}}

    def on_create(self, asked: dict[str, Any]) -> Mapping[str, Any]:
        (self.data / asked["Name"]).mkdir(parents=True)
        self.volumes[asked["Name"]] = {"opts": asked.get("Opts") or {}, "users": []}
        return {}

    def on_remove(self, asked: dict[str, Any]) -> Mapping[str, Any]:
        if self.volume(asked["Name"])["users"]:
            raise PluginError("it is mounted")
        shutil.rmtree(self.data / asked["Name"])
        del self.volumes[asked["Name"]]
        return {}

    def on_mount(self, asked: dict[str, Any]) -> Mapping[str, Any]:
        self.volume(asked["Name"])["users"].append(asked["ID"])
        return {"Mountpoint": str(self.data / asked["Name"])}

    def on_unmount(self, asked: dict[str, Any]) -> Mapping[str, Any]:
        users = self.volume(asked["Name"])["users"]
        if asked["ID"] not in users:
            raise PluginError(f"{asked['ID']} has not mounted it")
        users.remove(asked["ID"])
        return {}

    def on_path(self, asked: dict[str, Any]) -> Mapping[str, Any]:
        return {"Mountpoint": self.tell(asked["Name"])["Mountpoint"]}

    def on_get(self, asked: dict[str, Any]) -> Mapping[str, Any]:
        self.volume(asked["Name"])
        return {"Volume": self.tell(asked["Name"])}

    def on_list(self, asked: dict[str, Any]) -> Mapping[str, Any]:
        return {"Volumes": [self.tell(name) for name in self.volumes]}

    def on_capabilities(self, asked: dict[str, Any]) -> Mapping[str, Any]:
        return {"Capabilities": {"Scope": "global"}}


def main() -> None:
    directory, name = Path(sys.argv[1]), sys.argv[2]
    plugin = VolumePlugin(directory, name)
    make_server(directory / f"{name}.sock", ["VolumeDriver"], plugin.methods()).serve_forever()


if __name__ == "__main__":
    main()
