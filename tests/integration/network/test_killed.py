"""SIGKILL of the engine during network create and rm, connect, disconnect, port add and port rm.

What a container is said to have, what is in its namespace and what the networks say is the same
after every kill, no address is given twice, and nothing is left.
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from support.engine import EngineUnderTest
from support.killing import Attempt, KillLoop, Operation
from support.plugin_process import PluginProcess
from support.waiting import eventually

SLEEPER = {"Image": "busybox", "Cmd": ["sleep", "600"], "StopSignal": "SIGKILL"}
HELD = {"8080": "80/tcp", "5353": "53/udp"}
PORTS = {"Ports": {"80/tcp": [{"HostPort": "8080"}], "53/udp": [{"HostPort": "5353"}]}}


@pytest.fixture(scope="module")
def steady(killable_engine: EngineUnderTest) -> Iterator[EngineUnderTest]:
    """An engine with a network that is there before and after every kill."""
    killable_engine.docker("network", "create", "--subnet", "172.31.0.0/24", "steady")
    yield killable_engine
    killable_engine.docker("network", "rm", "steady")


def create(attempt: Attempt) -> None:
    attempt.client.post("/networks/create", {"Name": attempt.name})


def remove(attempt: Attempt) -> None:
    attempt.client.delete(f"/networks/{attempt.name}")


def run(attempt: Attempt) -> None:
    attempt.client.post("/containers/create", SLEEPER, name=attempt.name)
    attempt.client.post(f"/containers/{attempt.name}/start")


def connect(attempt: Attempt) -> None:
    attempt.client.post("/networks/steady/connect", {"Container": attempt.name})


def connect_by_address(attempt: Attempt) -> None:
    wanted = {"IPAMConfig": {"IPv4Address": "172.31.0.9"}, "Aliases": ["other"]}
    body = {"Container": attempt.name, "EndpointConfig": wanted}
    attempt.client.post("/networks/steady/connect", body)


def disconnect(attempt: Attempt) -> None:
    attempt.client.post("/networks/steady/disconnect", {"Container": attempt.name})


def publish(attempt: Attempt) -> None:
    attempt.client.post(f"/cutaway/containers/{attempt.name}/ports/add", PORTS)


def unpublish(attempt: Attempt) -> None:
    attempt.client.post(f"/cutaway/containers/{attempt.name}/ports/rm", PORTS)


def run_connected(attempt: Attempt) -> None:
    run(attempt)
    connect(attempt)


def run_published(attempt: Attempt) -> None:
    run(attempt)
    publish(attempt)


def run_in_yard(attempt: Attempt) -> None:
    """Run a container whose way out is docker_gwbridge."""
    body = {**SLEEPER, "HostConfig": {"NetworkMode": "yard"}}
    attempt.client.post("/containers/create", body, name=attempt.name)
    attempt.client.post(f"/containers/{attempt.name}/start")


def run_in_yard_connected(attempt: Attempt) -> None:
    run_in_yard(attempt)
    connect(attempt)


def leads_out(attempt: Attempt) -> None:
    """Compare the container's ways out with its networks: one leads out, whichever it is."""
    container = attempt.client.get(f"/containers/{attempt.name}/json")
    said = container["NetworkSettings"]["Networks"]
    way_out = attempt.client.get("/networks/docker_gwbridge")
    is_added = container["Id"] in way_out["Containers"]
    assert is_added == ("steady" not in said)
    routes = inside(container, "route", "show", "default")
    added = way_out["IPAM"]["Config"][0]["Gateway"]
    assert [r["gateway"] for r in routes] == [added if is_added else "172.31.0.1"]
    links = [link for link in inside(container, "link") if link["ifname"] != "lo"]
    assert len(links) == len(said) + is_added


def inside(container: dict[str, Any], *words: str) -> list[dict[str, Any]]:
    """Ask ip(8) in a container's namespace."""
    namespace = f"--net=/proc/{container['State']['Pid']}/ns/net"
    command = ["nsenter", namespace, "ip", "-j", "-4", *words]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(shown)  # type: ignore[no-any-return]


def agrees(attempt: Attempt) -> None:
    """Compare inspect, the namespace, the networks and the ports."""
    container = attempt.client.get(f"/containers/{attempt.name}/json")
    said = container["NetworkSettings"]["Networks"]
    shown = inside(container, "addr")
    has = {a["local"] for link in shown for a in link["addr_info"]} - {"127.0.0.1"}
    assert has == {e["IPAddress"] for e in said.values()}
    networks = [attempt.client.get(f"/networks/{n}") for n in ("steady", "bridge")]
    given = [c["IPv4Address"] for n in networks for c in n["Containers"].values()]
    assert len(given) == len(set(given))
    on = {n["Name"] for n in networks if container["Id"] in n["Containers"]}
    assert on == set(said)
    ports = {p for p, bindings in container["NetworkSettings"]["Ports"].items() if bindings}
    asked = container["HostConfig"]["PortBindings"] or {}
    assert ports == set(asked)
    wanted = {number for number, port in HELD.items() if port in ports}
    eventually(lambda: bound(attempt) == wanted)  # the userland process closes in its own time


def bound(attempt: Attempt) -> set[str]:
    sockets = attempt.engine.host.run("ss", "-Hltun").stdout
    return {number for number in HELD if f":{number} " in sockets}


OPERATIONS = (
    Operation("network create", act=create),
    Operation("network rm", prepare=create, act=remove),
    Operation("connect", prepare=run, act=connect, check=agrees),
    Operation("disconnect", prepare=run_connected, act=disconnect, check=agrees),
    Operation("connect by address", prepare=run, act=connect_by_address, check=agrees),
    Operation("publish", prepare=run, act=publish, check=agrees),
    Operation("unpublish", prepare=run_published, act=unpublish, check=agrees),
)


@pytest.mark.parametrize(("operations", "kills"), [(OPERATIONS, 105), (OPERATIONS[:4], 45)])
def test_a_killed_engine_leaves_networks_whole(
    steady: EngineUnderTest, operations: tuple[Operation, ...], kills: int
):
    loop = KillLoop(steady, seed=kills)
    loop.run(operations, kills=kills)
    assert loop.killed["engine"] == kills


def test_a_way_out_that_comes_or_goes_is_whole_after_a_kill(steady: EngineUnderTest):
    """A plugin names no gateway, so docker_gwbridge is the way out but while ``steady`` is one."""
    wire = PluginProcess(steady, "support.network_plugin", "wire")
    try:
        steady.docker("network", "create", "-d", "wire", "-o", "gateway=none", "yard")
        steady.docker("run", "--rm", "--network", "yard", "busybox", "true")  # makes the bridge
        KillLoop(steady, seed=9).run(
            (
                Operation("goes", prepare=run_in_yard, act=connect, check=leads_out),
                Operation("comes", prepare=run_in_yard_connected, act=disconnect, check=leads_out),
            ),
            kills=8,
        )
        steady.docker("network", "rm", "yard", "docker_gwbridge")
        eventually(lambda: not any(wire.state.values()))
    finally:
        wire.kill()


def test_a_killed_userland_process_serves_again(steady: EngineUnderTest):
    loop = KillLoop(steady, seed=6, victims=("network",))
    loop.run(OPERATIONS[2:], kills=10)
    assert loop.killed["network"] > 2  # disconnect and port rm always find it running
