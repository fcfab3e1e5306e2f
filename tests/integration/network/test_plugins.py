"""Networks and addresses of a real plugin: a process that is asked as libnetwork asks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.plugin_process import PluginProcess, engine_with_plugins
from support.waiting import eventually

TESTS = Path(__file__).resolve().parents[2]
SLEEP = ("busybox", "sleep", "600")


class Wire(PluginProcess):
    """The plugin ``wire``."""

    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        log = self.path.with_suffix(".calls")
        return [tuple(json.loads(line)) for line in log.read_text().splitlines()]  # type: ignore[misc]

    def methods(self) -> list[str]:
        return [name for name, _ in self.calls()]

    def forget_calls(self) -> None:
        self.path.with_suffix(".calls").write_text("")

    @property
    def holds(self) -> dict[str, dict[str, Any]]:
        return self.state

    def holds_nothing(self) -> bool:
        return not any(self.holds.values())


@pytest.fixture(scope="module")
def plugged(archives: Path) -> Iterator[tuple[EngineUnderTest, Wire]]:
    with engine_with_plugins() as engine:
        wire = Wire(engine, "support.network_plugin", "wire")
        try:
            engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
            yield engine, wire
        finally:
            wire.kill()


@pytest.fixture
def wire(plugged: tuple[EngineUnderTest, Wire]) -> Iterator[Wire]:
    engine, wire = plugged
    wire.mood()
    wire.forget_calls()
    yield wire
    wire.mood()
    engine.remove_containers()
    engine.docker("network", "prune", "-f")
    eventually(wire.holds_nothing)
    assert not [link for link in engine.host.links() if link.startswith(("pl", "pi"))]


def inspect(engine: EngineUnderTest, kind: str, name: str) -> dict[str, Any]:
    return json.loads(engine.docker(kind, "inspect", name).stdout)[0]  # type: ignore[no-any-return]


def sh(engine: EngineUnderTest, container: str, script: str) -> str:
    return engine.docker("exec", container, "sh", "-c", script).stdout.strip()


def assert_reaches(engine: EngineUnderTest, container: str, other: str) -> None:
    """Ping; the plugin's bridge sees a new link's carrier when the kernel gets to it."""
    ping = f"ping -c 1 -W 1 {other} >/dev/null && echo yes"
    eventually(
        lambda: engine.docker("exec", container, "sh", "-c", ping, check=False).stdout == "yes\n"
    )


def test_a_network_of_a_plugin_and_its_containers(wire: Wire) -> None:
    engine = wire.engine
    engine.docker(
        "network", "create", "-d", "wire", "--subnet", "10.70.0.0/24", "-o", "colour=red", "yard"
    )
    shown = inspect(engine, "network", "yard")
    assert (shown["Driver"], shown["Scope"]) == ("wire", "local")
    name, asked = wire.calls()[-1]
    assert name == "NetworkDriver.CreateNetwork"
    assert asked == {
        "NetworkID": shown["Id"],
        "Options": {
            "com.docker.network.enable_ipv4": True,
            "com.docker.network.enable_ipv6": False,
            "com.docker.network.generic": {"colour": "red"},
        },
        "IPv4Data": [
            {"AddressSpace": "", "Pool": "10.70.0.0/24", "Gateway": "10.70.0.1/24"},
        ],
        "IPv6Data": [],
    }
    wire.forget_calls()
    engine.docker("run", "-d", "--name", "one", "--network", "yard", "-p", "8080:80", *SLEEP)
    engine.docker("run", "-d", "--name", "two", "--network", "yard", "--ip", "10.70.0.9", *SLEEP)
    assert wire.methods()[:4] == [
        "NetworkDriver.CreateEndpoint",
        "NetworkDriver.Join",
        "NetworkDriver.EndpointOperInfo",
        "NetworkDriver.ProgramExternalConnectivity",
    ]
    created, programmed = wire.calls()[0][1], wire.calls()[3][1]
    assert created["Interface"] == {"Address": "10.70.0.2/24", "AddressIPv6": "", "MacAddress": ""}
    assert programmed["Options"]["com.docker.network.portmap"][0]["HostPort"] == 8080
    assert sh(engine, "one", "ls /sys/class/net").split() == ["lo", "plug0"]
    assert_reaches(engine, "two", "one")
    routes = sh(engine, "one", "ip route")
    assert "default via 10.70.0.1 dev plug0" in routes
    assert "198.51.100.0/24 via 10.70.0.1 dev plug0" in routes
    assert "203.0.113.0/24 dev plug0" in routes
    endpoint = inspect(engine, "container", "two")["NetworkSettings"]["Networks"]["yard"]
    assert (endpoint["IPAddress"], endpoint["Gateway"]) == ("10.70.0.9", "10.70.0.1")
    assert endpoint["MacAddress"] == sh(engine, "two", "cat /sys/class/net/plug0/address")
    assert "ask the plugin wire: NetworkDriver.Join" in engine.cutaway("story", "one").stdout
    info = json.loads(engine.docker("info", "-f", "{{json .Plugins.Network}}").stdout)
    assert info == ["bridge", "host", "ipvlan", "macvlan", "null", "wire"]
    wire.forget_calls()
    engine.docker("rm", "-f", "one", "two")
    eventually(lambda: not wire.holds["endpoints"])
    assert wire.methods().count("NetworkDriver.DeleteEndpoint") == 2
    engine.docker("network", "rm", "yard")
    assert wire.holds_nothing()


def test_live_connect_and_disconnect(wire: Wire) -> None:
    engine = wire.engine
    engine.docker("network", "create", "-d", "wire", "--subnet", "10.71.0.0/24", "yard")
    engine.docker("run", "-d", "--name", "one", *SLEEP)
    for _ in range(2):
        engine.docker("network", "connect", "--ip", "10.71.0.5", "yard", "one")
        assert "10.71.0.5/24" in sh(engine, "one", "ip addr show plug0")
        assert_reaches(engine, "one", "10.71.0.1")
        engine.docker("network", "disconnect", "yard", "one")
        assert sh(engine, "one", "ls /sys/class/net").split() == ["eth0", "lo"]
        assert not wire.holds["endpoints"]


def test_addresses_of_a_plugin_on_our_bridge(wire: Wire) -> None:
    engine = wire.engine
    engine.docker(
        "network", "create", "--ipam-driver", "wire", "--ipam-opt", "site=north", "--ipv6", "hall"
    )
    shown = inspect(engine, "network", "hall")["IPAM"]
    assert shown == {
        "Driver": "wire",
        "Options": {"site": "north"},
        "Config": [
            {"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"},
            {"Subnet": "fd77:1::/64", "Gateway": "fd77:1::1"},
        ],
    }
    pool = wire.holds["pools"]["pool0"]
    assert (pool["AddressSpace"], pool["Options"]) == ("near", {"site": "north"})
    run = ("run", "-d", "--network", "hall")
    engine.docker(*run, "--name", "one", *SLEEP)
    engine.docker(*run, "--name", "two", "--ip", "10.77.0.20", *SLEEP)
    asked = [a for n, a in wire.calls() if n == "IpamDriver.RequestAddress"]
    assert asked[0]["Options"] == {"RequestAddressType": "com.docker.network.gateway"}
    one = inspect(engine, "container", "one")["NetworkSettings"]["Networks"]["hall"]
    assert asked[2]["Options"] == {"com.docker.network.endpoint.macaddress": one["MacAddress"]}
    assert_reaches(engine, "one", "two")
    assert set(wire.holds["addresses"]) >= {"10.77.0.1", "10.77.0.2", "10.77.0.20", "fd77:1::2"}
    taken = engine.docker(*run, "--ip", "10.77.0.20", *SLEEP, check=False)
    assert 'plugin "wire": IpamDriver.RequestAddress: 10.77.0.20 is not to be had' in taken.stderr
    outside = engine.docker(*run, "--ip", "10.9.9.9", *SLEEP, check=False)
    assert "no configured subnet or ip-range contain the IP address 10.9.9.9" in outside.stderr
    engine.docker("restart", "-t", "0", "two")
    assert "10.77.0.20" in wire.holds["addresses"]


def test_both_from_the_plugin_and_no_addresses_at_all(wire: Wire) -> None:
    engine = wire.engine
    engine.docker("network", "create", "-d", "wire", "--ipam-driver", "wire", "both")
    engine.docker("run", "-d", "--name", "one", "--network", "both", *SLEEP)
    assert "10.77.0.2/24" in sh(engine, "one", "ip addr show plug0")
    engine.docker("network", "create", "--ipam-driver", "null", "bare")
    engine.docker("run", "-d", "--name", "three", "--network", "bare", *SLEEP)
    assert "inet " not in sh(engine, "three", "ip addr show eth0")


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "an error of its own": (
        {"NetworkDriver_CreateNetwork": {"error": "no room"}},
        'plugin "wire": NetworkDriver.CreateNetwork: no room',
    ),
    "it dies": (
        {"NetworkDriver_CreateNetwork": {"die": True}},
        'plugin "wire": NetworkDriver.CreateNetwork: it answered no HTTP',
    ),
    "a scope that is none": (
        {"NetworkDriver_GetCapabilities": {"answer": {"Scope": "galaxy"}}},
        "invalid capability: expecting 'local' or 'global', got galaxy",
    ),
    "a pool that is none": (
        {"IpamDriver_RequestPool": {"answer": {"PoolID": "p", "Pool": "10.1.2.3/99"}}},
        "IpamDriver.RequestPool: it answered the pool '10.1.2.3/99', which is no subnet",
    ),
    "a gateway outside": (
        {"IpamDriver_RequestAddress": {"answer": {"Address": "192.0.2.1/24"}}},
        "it answered the address 192.0.2.1/24, which is not in its pool 10.77.0.0/24",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_network_that_a_plugin_spoils_leaves_nothing(wire: Wire, case: str) -> None:
    engine = wire.engine
    mood, words = REFUSALS[case]
    wire.mood(**mood)
    create = ("network", "create", "-d", "wire", "--ipam-driver", "wire", "yard")
    refused = engine.docker(*create, check=False)
    assert words in refused.stderr
    if wire.process.poll() is not None:
        wire.start()
    wire.mood()
    eventually(wire.holds_nothing)
    engine.docker(*create)
    engine.docker("network", "rm", "yard")


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "an address that somebody has": (
        {"IpamDriver_RequestAddress": {"answer": {"Address": "10.77.0.2/24"}}},
        "IpamDriver.RequestAddress: it answered 10.77.0.2, which belongs to container first",
    ),
    "another address than it was given": (
        {"NetworkDriver_CreateEndpoint": {"answer": {"Interface": {"Address": "10.1.1.1/8"}}}},
        "CreateEndpoint: it answered 10.1.1.1/8 for an endpoint that has 10.77.0.3/24 already",
    ),
    "the host's loopback": (
        {"NetworkDriver_Join": {"answer": {"InterfaceName": {"SrcName": "lo"}}}},
        "NetworkDriver.Join: it answered the interface lo, which is not its own",
    ),
    "a link that is not there": (
        {"NetworkDriver_Join": {"answer": {"InterfaceName": {"SrcName": "nowhere"}}}},
        "NetworkDriver.Join: it answered the interface nowhere, which this host does not have",
    ),
    "a name that is none": (
        {"NetworkDriver_Join": {"answer": {"InterfaceName": {"SrcName": "../eth0"}}}},
        "NetworkDriver.Join: it answered the interface name '../eth0'",
    ),
    "a gateway that is none": (
        {"NetworkDriver_Join": {"answer": {"Gateway": "out there"}}},
        "NetworkDriver.Join: it answered the gateway 'out there', which is no IPv4 address",
    ),
    "a route that is none": (
        {"NetworkDriver_Join": {"answer": {"StaticRoutes": [{"Destination": "x"}]}}},
        "NetworkDriver.Join: it answered a static route that is none",
    ),
    "it refuses to publish": (
        {"NetworkDriver_ProgramExternalConnectivity": {"error": "port 80 is mine"}},
        "NetworkDriver.ProgramExternalConnectivity: port 80 is mine",
    ),
}


def test_a_container_that_a_plugin_spoils_leaves_nothing(wire: Wire) -> None:
    engine = wire.engine
    engine.docker("network", "create", "-d", "wire", "--ipam-driver", "wire", "yard")
    engine.docker("run", "-d", "--name", "first", "--network", "yard", *SLEEP)
    for case, (mood, words) in LIES.items():
        wire.mood(**mood)
        refused = engine.docker("run", "--rm", "--network", "yard", *SLEEP, check=False)
        assert words in refused.stderr, case
        assert refused.returncode == 125, case
        eventually(lambda: len(wire.holds["endpoints"]) == 1)
        eventually(lambda: len(wire.holds["addresses"]) == 2)
    wire.mood()
    engine.docker(
        "run", "--rm", "--network", "yard", "busybox", "ping", "-c", "9", "-W", "1", "first"
    )


def test_one_that_hangs_stops_nobody_else(wire: Wire) -> None:
    engine = wire.engine
    engine.docker("network", "create", "-d", "wire", "yard")
    wire.mood(NetworkDriver_Join={"hang": True}, NetworkDriver_CreateNetwork={"hang": True})
    waiting = [
        engine.host.popen(["docker", *words], env=engine.environment(), stderr=-3, stdout=-3)
        for words in (
            ("run", "--rm", "--network", "yard", *SLEEP),
            ("network", "create", "-d", "wire", "late"),
        )
    ]
    eventually(lambda: {"NetworkDriver.Join", "NetworkDriver.CreateNetwork"} <= {*wire.methods()})
    engine.docker("network", "create", "other")
    engine.docker("run", "--rm", "--network", "other", "busybox", "true")
    assert "late" not in engine.docker("network", "ls").stdout
    taken = engine.docker("network", "create", "late", check=False)
    assert "network with name late already exists" in taken.stderr
    wire.kill()
    wire.mood()
    wire.start()
    assert [client.wait(timeout=60) != 0 for client in waiting] == [True, True]


def test_what_a_plugin_holds_is_released_after_deaths(wire: Wire) -> None:
    engine = wire.engine
    engine.docker("network", "create", "-d", "wire", "--ipam-driver", "wire", "yard")
    engine.docker("run", "-d", "--name", "gone", "--network", "yard", *SLEEP)
    engine.docker("run", "-d", "--name", "stays", "--network", "yard", *SLEEP)
    assert len(wire.holds["endpoints"]) == 2
    wire.kill()
    engine.docker("rm", "-f", "gone")
    wire.mood(NetworkDriver_Join={"hang": True})
    wire.start()
    wire.forget_calls()
    half = ["docker", "run", "-d", "--name", "half", "--network", "yard", *SLEEP]
    client = engine.host.popen(half, env=engine.environment(), stderr=-3, stdout=-3)
    eventually(lambda: "NetworkDriver.Join" in wire.methods())
    engine.kill()
    client.wait(timeout=60)
    wire.mood()
    engine.start()
    eventually(lambda: len(wire.holds["endpoints"]) == 1, 60)
    eventually(lambda: len(wire.holds["addresses"]) == 2, 60)
    assert_reaches(engine, "stays", "10.77.0.1")
    engine.docker("rm", "-f", "half", "stays")
    engine.docker("network", "rm", "yard")


def test_a_plugin_that_forgets_is_told_again_what_it_gave(wire: Wire) -> None:
    engine = wire.engine
    wire.mood(IpamDriver_GetCapabilities={"answer": {"RequiresRequestReplay": True}})
    aux = ("--subnet", "10.76.0.0/24", "--aux-address", "printer=10.76.0.9")
    engine.docker("network", "create", "--ipam-driver", "wire", *aux, "hall")
    engine.docker("run", "-d", "--name", "one", "--network", "hall", "--ip", "10.76.0.5", *SLEEP)
    engine.kill()
    wire.kill()
    others = {"pool0": {"pool": "10.75.0.0/24"}}  # so ours has another id now
    forgotten = {"networks": {}, "endpoints": {}, "pools": others, "addresses": {}}
    wire.path.with_suffix(".state").write_text(json.dumps(forgotten))
    wire.start()
    wire.forget_calls()
    engine.start()
    eventually(lambda: {*wire.holds["addresses"]} == {"10.76.0.1", "10.76.0.9", "10.76.0.5"})
    assert [name.partition(".")[2] for name in wire.methods()] == [
        "GetCapabilities",
        "RequestPool",
        "RequestAddress",
        "RequestAddress",
        "RequestAddress",
    ]
    engine.docker("run", "-d", "--name", "two", "--network", "hall", *SLEEP)
    assert_reaches(engine, "two", "one")
    engine.docker("rm", "-f", "one", "two")
    engine.docker("network", "rm", "hall")
    eventually(lambda: wire.holds == forgotten)
    wire.kill()
    wire.path.with_suffix(".state").unlink()
    wire.start()


def test_an_unknown_driver_is_refused_at_once(wire: Wire) -> None:
    for words in (("-d", "nobody"), ("--ipam-driver", "nobody")):
        refused = wire.engine.docker("network", "create", *words, "yard", check=False)
        assert 'plugin "nobody" not found' in refused.stderr


OUTSIDE = "198.18.0.1"


@pytest.fixture
def outside(wire: Wire) -> Iterator[EngineUnderTest]:
    """An address behind the host, and a network whose plugin names no gateway."""
    engine = wire.engine
    engine.host.run("ip", "addr", "add", f"{OUTSIDE}/32", "dev", "lo")
    engine.docker("network", "create", "-d", "wire", "-o", "gateway=none", "yard")
    yield engine
    engine.host.run("ip", "addr", "del", f"{OUTSIDE}/32", "dev", "lo")


def links(engine: EngineUnderTest, container: str) -> list[str]:
    return sh(engine, container, "ls /sys/class/net").split()


def in_gateway_network(engine: EngineUnderTest) -> list[str]:
    found = inspect(engine, "network", "docker_gwbridge")["Containers"].values()
    return sorted(endpoint["Name"] for endpoint in found)


def address_on_gateway_network(engine: EngineUnderTest, container: str) -> str:
    container_id = inspect(engine, "container", container)["Id"]
    found = inspect(engine, "network", "docker_gwbridge")["Containers"][container_id]
    return str(found["IPv4Address"]).partition("/")[0]


def test_without_a_gateway_of_the_plugin_docker_gwbridge_is_the_way_out(
    outside: EngineUnderTest,
) -> None:
    engine = outside
    serve = ("busybox", "sh", "-c", "while :; do echo hello | nc -l -p 80; done")
    engine.docker("run", "-d", "--name", "one", "--network", "yard", "-p", "8080:80", *serve)
    engine.docker("run", "-d", "--name", "two", "--network", "yard", *SLEEP)
    shown = inspect(engine, "network", "docker_gwbridge")
    assert shown["Options"] == {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.name": "docker_gwbridge",
    }
    one = inspect(engine, "container", "one")
    assert list(one["NetworkSettings"]["Networks"]) == ["yard"]
    assert one["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"] == "8080"
    two = inspect(engine, "container", "two")
    assert in_gateway_network(engine) == sorted(f"gateway_{c['Id'][:12]}" for c in (one, two))
    assert links(engine, "one") == ["eth0", "lo", "plug0"]
    assert_reaches(engine, "one", OUTSIDE)
    assert_reaches(engine, "one", "two")  # by the plugin's network; by the gateway's it can't:
    ping = ("exec", "one", "ping", "-c", "1", "-W", "1", address_on_gateway_network(engine, "two"))
    assert engine.docker(*ping, check=False).returncode != 0
    assert engine.host.run("busybox", "nc", "-w", "5", OUTSIDE, "8080").stdout == "hello\n"
    refused = engine.docker("network", "rm", "docker_gwbridge", check=False)
    assert f'name:"gateway_{one["Id"][:12]}"' in refused.stderr
    engine.kill()
    engine.start()
    assert_reaches(engine, "one", OUTSIDE)
    engine.docker("rm", "-f", "one", "two")
    assert in_gateway_network(engine) == []


def test_the_way_out_by_docker_gwbridge_goes_when_a_network_leads_out(
    outside: EngineUnderTest,
) -> None:
    engine = outside
    engine.docker("run", "-d", "--name", "one", "--network", "yard", *SLEEP)
    engine.docker("network", "connect", "bridge", "one")
    assert links(engine, "one") == ["eth1", "lo", "plug0"]
    assert in_gateway_network(engine) == []
    assert_reaches(engine, "one", OUTSIDE)
    engine.docker("network", "disconnect", "bridge", "one")
    assert links(engine, "one") == ["eth0", "lo", "plug0"]
    assert_reaches(engine, "one", OUTSIDE)
    refused = engine.docker("network", "disconnect", "docker_gwbridge", "one", check=False)
    assert "is not connected to network docker_gwbridge" in refused.stderr
    engine.docker("network", "disconnect", "yard", "one")
    assert links(engine, "one") == ["lo"]
    engine.docker("network", "connect", "yard", "one")
    assert links(engine, "one") == ["eth0", "lo", "plug0"]
    assert_reaches(engine, "one", OUTSIDE)


@pytest.mark.parametrize("words", [("-o", "gateway=off"), ("-o", "gateway=none", "--internal")])
def test_no_way_out_where_the_plugin_or_the_user_wants_none(
    wire: Wire, words: tuple[str, ...]
) -> None:
    engine = wire.engine
    engine.docker("network", "create", "-d", "wire", *words, "yard")
    engine.docker("run", "-d", "--name", "one", "--network", "yard", *SLEEP)
    assert links(engine, "one") == ["lo", "plug0"]
    assert "default" not in sh(engine, "one", "ip route")


def test_a_network_of_global_scope_is_made_at_once(wire: Wire) -> None:
    """As by a dockerd outside a swarm: nobody allocates it first, and nobody hears of nodes."""
    engine = wire.engine
    wire.mood(NetworkDriver_GetCapabilities={"answer": {"Scope": "global"}})
    engine.docker("network", "create", "-d", "wire", "--ipam-driver", "wire", "wide")
    assert inspect(engine, "network", "wide")["Scope"] == "global"
    assert wire.holds["pools"]["pool0"]["AddressSpace"] == "far"
    engine.docker("run", "-d", "--name", "one", "--network", "wide", *SLEEP)
    assert_reaches(engine, "one", "10.77.0.1")
    engine.docker("rm", "-f", "one")
    engine.docker("network", "rm", "wide")
    asked = {name.partition(".")[2] for name in wire.methods() if name.startswith("Network")}
    assert asked == {
        "GetCapabilities",
        "CreateNetwork",
        "CreateEndpoint",
        "Join",
        "EndpointOperInfo",
        "ProgramExternalConnectivity",
        "RevokeExternalConnectivity",
        "Leave",
        "DeleteEndpoint",
        "DeleteNetwork",
    }
