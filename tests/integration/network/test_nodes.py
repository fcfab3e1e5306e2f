"""Hosts on one wire, each with an engine: what is reached between them, and what is not.

The hosts are those of ``cutaway nodes``; the containers are run by the stock docker command.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cutaway.nodes.node import Node
from cutaway.nodes.underlay import Underlay
from support.images import busybox_archive
from support.netns import Namespace, fetch, serve_once
from support.waiting import eventually


@dataclass
class Lan:
    """Two hosts with engines and a third without."""

    one: Node
    two: Node
    host: Namespace
    neighbour: Namespace


def docker(node: Node, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DOCKER_HOST": f"unix://{node.socket}"}
    done = subprocess.run(
        ["docker", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


held: list[Namespace] = []


def run(node: Node, name: str, *flags: str) -> Namespace:
    """Run a container that sleeps; return its network namespace, to open sockets in."""
    docker(node, "run", "-d", "--name", name, *flags, "busybox", "sleep", "600")
    pid = node.client.get(f"/containers/{name}/json")["State"]["Pid"]
    held.append(Namespace.of(pid))
    return held[-1]


def end(node: Node, name: str) -> None:
    """Remove a container; its namespace dies with our descriptor of it."""
    while held:
        held.pop().close()
    node.client.delete(f"/containers/{name}", force=True)


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory, archives: Path) -> Iterator[Lan]:
    underlay = Underlay()
    directory = tmp_path_factory.mktemp("nodes")
    nodes = [
        Node(underlay.add_host(), directory, group=f"cutaway-test-{os.getpid()}", flags=())
        for _ in range(2)
    ]
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait()
            docker(node, "load", "-q", "-i", str(busybox_archive(archives)))
        first, second = (Namespace.of(n.host.keeper.pid) for n in nodes)
        yield Lan(nodes[0], nodes[1], first, second)
    finally:
        for node in nodes:
            node.stop()
        underlay.close()


@pytest.fixture
def lan(wire: Lan) -> Iterator[Lan]:
    yield wire
    for node in (wire.one, wire.two):
        for container in node.client.get("/containers/json", all=True):
            end(node, container["Id"])
        node.client.post("/networks/prune")


def test_port_5000_is_port_80_of_the_host_for_everybody(lan: Lan):
    web, other = run(lan.one, "web", "-p", "80:5000"), run(lan.two, "other")
    address = lan.one.host.address
    clients = {
        "another host": (lan.neighbour, address),
        "a container of another host": (other, address),
        "the host": (lan.host, address),
        "loopback": (lan.host, "127.0.0.1"),
        "the container itself": (web, address),
        "IPv6": (lan.neighbour, lan.one.host.address_v6),
    }
    seen = {}
    for who, (client, target) in clients.items():
        with web.listen("0.0.0.0", 5000) as server:
            serve_once(server, b"hello")
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            seen[who] = fetch(client.open(family=family), target, 80).removesuffix(" hello")
    assert seen["another host"] == lan.two.host.address
    assert seen["a container of another host"] == lan.two.host.address  # hidden behind its host
    assert seen["the host"] == address
    # A listener relays these, and the container's own packets come back by its host.
    assert {seen[who] for who in ("loopback", "IPv6", "the container itself")} == {"172.17.0.1"}
    assert not lan.neighbour.reaches(address, 5000)


def test_attacks_from_the_lan(lan: Lan):
    """Unpublished ports by direct routing; loopback ports by a routed 127.0.0.0/8."""
    web = run(lan.one, "web", "-p", "127.0.0.1:8080:80", "-p", "81:81")
    (inner,) = [n for n in lan.one.client.get("/containers/web/json")["NetworkSettings"]
                ["Networks"].values()]  # fmt: skip
    address = lan.one.host.address
    lan.neighbour.add_route("172.17.0.2/32", address)
    lan.neighbour.sysctl("net.ipv4.conf.all.route_localnet", "1")
    with web.listen("0.0.0.0", 80), web.listen("0.0.0.0", 81), web.listen("0.0.0.0", 82):
        assert lan.host.reaches("127.0.0.1", 8080)
        assert lan.neighbour.reaches(address, 81)
        for port in (80, 81, 82, 8080):
            assert not lan.neighbour.reaches(inner["IPAddress"], port), port
        assert not lan.neighbour.reaches(address, 8080)
        frame = spoofed_syn(lan, "127.0.0.1", 8080)
        assert not frame, "a packet to 127.0.0.1 came in from the wire"
    lan.neighbour.run(lambda: subprocess.run(["ip", "route", "del", "172.17.0.2"], check=True))
    lan.neighbour.sysctl("net.ipv4.conf.all.route_localnet", "0")


def spoofed_syn(lan: Lan, target: str, port: int) -> bool:
    """Send a connection request for a loopback address over the wire; tell whether it is answered.

    Linux routes 127.0.0.0/8 to its own lo; with a route of a table asked before it does not.
    """
    words = "ip rule add pref 0 lookup 99; ip route add 127.0.0.1 via {} table 99; "
    words += "ip rule add pref 1 lookup local; ip rule del pref 0 lookup local"
    lan.neighbour.run(
        lambda: subprocess.run(["sh", "-ec", words.format(lan.one.host.address)], check=True)
    )
    answered = lan.neighbour.reaches(target, port)
    undo = "ip rule add pref 0 lookup local; ip rule del pref 0 lookup 99; "
    undo += "ip rule del pref 1; ip route flush table 99"
    lan.neighbour.run(lambda: subprocess.run(["sh", "-ec", undo], check=True))
    return answered


def test_two_udp_services_keep_their_clients_addresses(lan: Lan):
    one = run(lan.one, "syslog", "-p", "514:5140/udp")
    two = run(lan.one, "dns", "-p", "53:5300/udp")
    other = run(lan.two, "client")
    for service, inner, outer in ((one, 5140, 514), (two, 5300, 53)):
        with service.open(socket.SOCK_DGRAM) as server:
            server.bind(("0.0.0.0", inner))
            for client in (lan.neighbour, other):
                with client.open(socket.SOCK_DGRAM) as asking:
                    asking.connect((lan.one.host.address, outer))
                    asking.send(b"ping")
                    data, peer = server.recvfrom(100)
                    assert (data, peer[0]) == (b"ping", lan.two.host.address)
                    server.sendto(b"pong", peer)
                    assert asking.recv(100) == b"pong"


def test_a_udp_client_that_never_stops_reaches_the_next_container(lan: Lan):
    """Connection tracking would send its datagrams to the dead one's address for ever."""
    with lan.neighbour.open(socket.SOCK_DGRAM) as client:
        client.bind(("0.0.0.0", 40000))
        client.connect((lan.one.host.address, 514))
        for name, flags in (("first", ()), ("second", ("--ip", "172.30.9.9"))):
            if flags:
                docker(lan.one, "network", "create", "--subnet", "172.30.0.0/16", "other")
                flags = (*flags, "--network", "other")
            service = run(lan.one, name, "-p", "514:5140/udp", *flags)
            with service.open(socket.SOCK_DGRAM) as server:
                server.bind(("0.0.0.0", 5140))
                client.send(name.encode())
                assert server.recv(100) == name.encode()
            end(lan.one, name)


def test_macvlan_talks_to_a_neighbour_and_to_its_own_host_only_by_a_shim(lan: Lan):
    docker(
        lan.one,
        *("network", "create", "-d", "macvlan", "-o", "parent=eth0", "--subnet", "10.77.0.0/24"),
        *("--gateway", "10.77.0.254", "--ip-range", "10.77.0.192/27", "wire"),
    )
    web = run(lan.one, "web", "--network", "wire", "--ip", "10.77.0.200")
    with web.listen("0.0.0.0", 80) as server, lan.neighbour.listen("0.0.0.0", 9000):
        serve_once(server, b"hello")
        seen = fetch(lan.neighbour.open(), "10.77.0.200", 80)
        assert seen == f"{lan.two.host.address} hello"
        assert web.reaches(lan.two.host.address, 9000)
        assert not lan.host.reaches("10.77.0.200", 80)
        shim = (
            "ip link add shim link eth0 type macvlan mode bridge; ip link set shim up; "
            "ip route add 10.77.0.200 dev shim src 10.77.0.1"
        )
        lan.host.run(lambda: subprocess.run(["sh", "-ec", shim], check=True))
        assert lan.host.reaches("10.77.0.200", 80, timeout=3)
        lan.host.run(lambda: subprocess.run(["ip", "link", "del", "shim"], check=True))


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru"])
def test_macvlan_modes(lan: Lan, mode: str):
    """bridge: siblings talk; private and vepa: they do not (no switch sends it back)."""
    name = f"wire-{mode}"
    docker(
        lan.one,
        *("network", "create", "-d", "macvlan", "-o", "parent=eth0", "-o", f"macvlan_mode={mode}"),
        *("--subnet", "10.77.0.0/24", "--ip-range", "10.77.0.128/27", name),
    )
    if mode == "passthru":
        # The one child gets everything the parent receives: the host itself is cut off.
        one = run(lan.one, "one", "--network", name)
        with lan.neighbour.listen("0.0.0.0", 9000):
            assert one.reaches(lan.two.host.address, 9000, timeout=3)
        return
    one, two = (run(lan.one, n, "--network", name) for n in ("one", "two"))
    address = lan.one.client.get("/containers/two/json")["NetworkSettings"]["Networks"][name]
    with two.listen("0.0.0.0", 80), lan.neighbour.listen("0.0.0.0", 9000):
        assert one.reaches(lan.two.host.address, 9000, timeout=3)
        assert one.reaches(address["IPAddress"], 80) is (mode == "bridge")


def test_an_internal_macvlan_network_has_a_wire_of_its_own(lan: Lan):
    docker(lan.one, "network", "create", "-d", "macvlan", "--internal", "inner")
    one, two = (run(lan.one, name, "--network", "inner") for name in ("one", "two"))
    address = lan.one.client.get("/containers/two/json")["NetworkSettings"]["Networks"]["inner"]
    with two.listen("0.0.0.0", 80), lan.neighbour.listen("0.0.0.0", 9000):
        assert one.reaches(address["IPAddress"], 80)
        assert not one.reaches(lan.two.host.address, 9000)


def test_icc_off_and_internal(lan: Lan):
    icc = "com.docker.network.bridge.enable_icc=false"
    docker(lan.one, "network", "create", "-o", icc, "apart")
    docker(lan.one, "network", "create", "--internal", "inner")
    one = run(lan.one, "one", "--network", "apart")
    two = run(lan.one, "two", "--network", "apart", "-p", "8080:80")
    alone = run(lan.one, "alone", "--network", "inner")
    networks = lan.one.client.get("/containers/two/json")["NetworkSettings"]["Networks"]
    with two.listen("0.0.0.0", 80), lan.neighbour.listen("0.0.0.0", 9000):
        assert not one.reaches(networks["apart"]["IPAddress"], 80)
        assert one.reaches(lan.two.host.address, 9000)
        assert lan.neighbour.reaches(lan.one.host.address, 8080)
        assert not alone.reaches(lan.two.host.address, 9000)
        assert not alone.reaches(networks["apart"]["IPAddress"], 80)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose sockets' paths fit into sockaddr_un, which has room for 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="cutaway-test-", dir="/tmp") as name:
        yield Path(name)


def test_the_command_makes_nodes_and_leaves_nothing(short_path: Path):
    words = [sys.executable, "-I", "-c", "from cutaway.cli.main import main; main()"]
    process = subprocess.Popen(
        [*words, "nodes", "--directory", str(short_path), "2"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    head, *lines = [process.stdout.readline() for _ in range(4)]
    assert head.split() == ["NODE", "ADDRESS", "IPV6", "PID", "DOCKER_HOST"]
    assert [line.split()[1] for line in lines[:2]] == ["10.77.0.1", "10.77.0.2"]
    keepers = [int(line.split()[3]) for line in lines[:2]]
    first = Namespace.of(keepers[0])
    with Namespace.of(keepers[1]).listen("0.0.0.0", 80):
        assert first.reaches("10.77.0.2", 80)
        assert first.reaches("fd77::2", 80) is False
    first.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    process.stdout.close()
    assert list(short_path.iterdir()) == []
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in keepers))


def test_a_killed_command_takes_its_engines_along(short_path: Path):
    words = [sys.executable, "-I", "-c", "from cutaway.cli.main import main; main()"]
    process = subprocess.Popen(
        [*words, "nodes", "--directory", str(short_path), "1"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        _, line = process.stdout.readline(), process.stdout.readline()
    (recorded,) = short_path.glob("*/node1/engine.pid")
    pids = [int(line.split()[3]), int(recorded.read_text())]
    process.kill()
    process.wait()
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


def test_a_directory_that_is_not_there():
    words = [sys.executable, "-I", "-c", "from cutaway.cli.main import main; main()", "nodes"]
    words += ["--directory", "/no/such", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 125
    said = "cutaway nodes: --directory /no/such: there is no such directory, make it first\n"
    assert done.stderr == said


def test_a_number_that_is_none():
    words = [sys.executable, "-I", "-c", "from cutaway.cli.main import main; main()", "nodes", "0"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 125
    assert "'0' is no number from 1 to 250" in done.stderr
