"""A network and IPAM plugin such as others write: bridges and veth pairs of its own, by ``ip``.

``python -m support.network_plugin DIRECTORY NAME`` serves ``DIRECTORY/NAME.sock``. Beside it lie
``NAME.calls`` (what it was asked, a JSON line a call), ``NAME.state`` (what it holds), and, written
by tests, ``NAME.mood``: a JSON object that says for a method how to behave instead.
"""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from support.plugin_server import Method, PluginError, make_server


def ip(*words: str, check: bool = True) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *words], check=check, capture_output=True)


class NetworkPlugin:
    """The state and the methods."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.path = directory / name
        self.lock = threading.Lock()
        self.state: dict[str, dict[str, Any]] = {
            kind: {} for kind in ("networks", "endpoints", "pools", "addresses")
        }
        known = self.path.with_suffix(".state")
        if known.exists():
            self.state = json.loads(known.read_text())

    def save(self) -> None:
        """Remember what is held, as a plugin that survives its own death must."""
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps(self.state))
        temporary.rename(self.path.with_suffix(".state"))

    def methods(self) -> dict[str, Method]:
        """Return every method under its name in the protocol, wrapped in the plugin's mood."""
        found = {}
        for kind in ("NetworkDriver", "IpamDriver"):
            for attribute in dir(self):
                prefix, _, method = attribute.partition("__")
                if prefix == kind and method:
                    name = f"{kind}.{method}"
                    found[name] = self.moody(name, getattr(self, attribute))
        return found

    def moody(self, name: str, method: Method) -> Method:
        """Log a call; answer as the mood says, else as it should be."""

        def call(asked: dict[str, Any]) -> Any:
            with open(self.path.with_suffix(".calls"), "a") as log:
                log.write(json.dumps([name, asked]) + "\n")
            mood_path = self.path.with_suffix(".mood")
            mood = json.loads(mood_path.read_text()) if mood_path.exists() else {}
            how = mood.get(name, {})
            if how.get("die"):
                os._exit(9)
            if how.get("hang"):
                time.sleep(600)  # what is tested is that nobody waits for it
            if "error" in how:
                raise PluginError(how["error"], "Error" if name.startswith("Ipam") else "Err")
            if "answer" in how:
                return how["answer"]
            with self.lock:
                answer = method(asked)
                self.save()
            return answer

        return call

    # NetworkDriver.

    def NetworkDriver__GetCapabilities(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"Scope": "local"}

    def NetworkDriver__CreateNetwork(self, asked: dict[str, Any]) -> dict[str, Any]:
        network = asked["NetworkID"]
        bridge = f"pl-{network[:8]}"
        ip("link", "add", bridge, "type", "bridge")
        for data in asked["IPv4Data"] + asked["IPv6Data"]:
            if data.get("Gateway"):
                ip("addr", "add", data["Gateway"], "dev", bridge, "nodad")
        ip("link", "set", bridge, "up")
        self.state["networks"][network] = {"bridge": bridge, **asked}
        return {}

    def NetworkDriver__DeleteNetwork(self, asked: dict[str, Any]) -> dict[str, Any]:
        network = self.state["networks"].pop(asked["NetworkID"], None)
        if network is None:
            raise PluginError("no such network")
        ip("link", "del", network["bridge"], check=False)
        return {}

    def NetworkDriver__CreateEndpoint(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["NetworkID"] not in self.state["networks"]:
            raise PluginError("no such network")
        self.state["endpoints"][asked["EndpointID"]] = asked
        return {"Interface": {}}

    def NetworkDriver__EndpointOperInfo(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Value": {"seen": True}}

    def NetworkDriver__DeleteEndpoint(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.state["endpoints"].pop(asked["EndpointID"], None) is None:
            raise PluginError("no such endpoint")
        return {}

    def NetworkDriver__Join(self, asked: dict[str, Any]) -> dict[str, Any]:
        os.stat(asked["SandboxKey"])
        endpoint = self.state["endpoints"][asked["EndpointID"]]
        network = self.state["networks"][asked["NetworkID"]]
        outer, inner = (f"{end}{asked['EndpointID'][:8]}" for end in ("pl", "pi"))
        ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        ip("link", "set", outer, "master", network["bridge"], "up")
        endpoint["joined"] = [outer, inner]
        gateways = [d["Gateway"].partition("/")[0] for d in network["IPv4Data"]]
        options = network["Options"]["com.docker.network.generic"]
        if "gateway" in options:  # it names none; "off": the engine shall not add one either
            named = {"SrcName": inner, "DstPrefix": "plug"}
            off = options["gateway"] == "off"
            return {"InterfaceName": named, "DisableGatewayService": off}
        return {
            "InterfaceName": {"SrcName": inner, "DstPrefix": "plug"},
            "Gateway": gateways[0] if gateways else "",
            "StaticRoutes": [
                {"Destination": "198.51.100.0/24", "RouteType": 0, "NextHop": gateways[0]},
                {"Destination": "203.0.113.0/24", "RouteType": 1, "NextHop": ""},
            ],
        }

    def NetworkDriver__Leave(self, asked: dict[str, Any]) -> dict[str, Any]:
        endpoint = self.state["endpoints"].get(asked["EndpointID"])
        if endpoint is None or "joined" not in endpoint:
            raise PluginError("has not joined")
        ip("link", "del", endpoint.pop("joined")[0], check=False)
        return {}

    def NetworkDriver__ProgramExternalConnectivity(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.state["endpoints"][asked["EndpointID"]]["ports"] = asked["Options"]
        return {}

    def NetworkDriver__RevokeExternalConnectivity(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.state["endpoints"].get(asked["EndpointID"], {}).pop("ports", None)
        return {}

    # IpamDriver.

    def IpamDriver__GetCapabilities(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"RequiresMACAddress": True}

    def IpamDriver__GetDefaultAddressSpaces(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"LocalDefaultAddressSpace": "near", "GlobalDefaultAddressSpace": "far"}

    def IpamDriver__RequestPool(self, asked: dict[str, Any]) -> dict[str, Any]:
        number = next(n for n in itertools.count() if f"pool{n}" not in self.state["pools"])
        default = f"fd77:{number}::/64" if asked["V6"] else f"10.77.{number}.0/24"
        pool = asked["Pool"] or default
        self.state["pools"][f"pool{number}"] = {"pool": pool, **asked}
        return {"PoolID": f"pool{number}", "Pool": pool, "Data": {}}

    def IpamDriver__ReleasePool(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.state["pools"].pop(asked["PoolID"], None) is None:
            raise PluginError("no such pool", "Error")
        return {}

    def IpamDriver__RequestAddress(self, asked: dict[str, Any]) -> dict[str, Any]:
        pool = ip_network(self.state["pools"][asked["PoolID"]]["pool"])
        held = {a for a, p in self.state["addresses"].items() if p == asked["PoolID"]}
        free = (str(a) for a in pool.hosts() if str(a) not in held)
        address = asked["Address"] or next(free)
        if address in held or ip_address(address) not in pool:
            raise PluginError(f"{address} is not to be had", "Error")
        self.state["addresses"][address] = asked["PoolID"]
        return {"Address": f"{address}/{pool.prefixlen}", "Data": {}}

    def IpamDriver__ReleaseAddress(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.state["addresses"].pop(asked["Address"], None) is None:
            raise PluginError("no such address", "Error")
        return {}


if __name__ == "__main__":
    plugin = NetworkPlugin(Path(sys.argv[1]), sys.argv[2])
    socket = plugin.path.with_suffix(".sock")
    make_server(socket, ["NetworkDriver", "IpamDriver"], plugin.methods()).serve_forever()
