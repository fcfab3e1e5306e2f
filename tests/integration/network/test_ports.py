"""Published ports on the real kernel: who may come in, who sees whom, what is left."""

import os
import signal
import socket
import threading
import time
from contextlib import suppress

import pytest

from cutaway.errors import InvalidParameter
from cutaway.linux.netlink import NETLINK_NETFILTER, NetlinkSocket
from cutaway.linux.nftables import Batch, dump_tables
from cutaway.network import NetworkRequest, PortRequest
from cutaway.network.publishing.ports import PortInUse
from cutaway.network.userland import udp
from cutaway.network.userland.loop import Loop
from support.machine import HOST_ADDRESS, HOST_ADDRESS_V6, NEIGHBOUR_ADDRESS, Machine
from support.netns import fetch, serve_once
from support.waiting import eventually


def web_port(host_port="8080", **more):
    return (PortRequest(container_port=80, host_port=host_port, **more),)


def answer(container, port=80, address="0.0.0.0"):
    server = container.namespace.listen(address, port)
    serve_once(server, b"hello")
    return server


def test_from_another_host_with_its_own_address(machine: Machine):
    machine.start()
    web = machine.run("web", "bridge", ports=web_port())
    with answer(web):
        text = fetch(machine.neighbour.open(), HOST_ADDRESS, 8080)
    assert text == f"{NEIGHBOUR_ADDRESS} hello"


def test_from_the_host_itself(machine: Machine):
    machine.start()
    web = machine.run("web", "bridge", ports=web_port())
    with answer(web):
        assert fetch(machine.host.open(), HOST_ADDRESS, 8080) == f"{HOST_ADDRESS} hello"


def test_from_the_hosts_loopback(machine: Machine):
    machine.start()
    web = machine.run("web", "bridge", ports=web_port())
    with answer(web):
        assert fetch(machine.host.open(), "127.0.0.1", 8080) == "172.17.0.1 hello"
    with answer(web):
        client = machine.host.open(family=socket.AF_INET6)
        assert fetch(client, "::1", 8080) == "172.17.0.1 hello"
    assert machine.host.sysctl("net.ipv4.conf.cutaway0.route_localnet") == "0"


def test_from_the_container_itself_and_its_neighbour(machine: Machine):
    machine.start()
    web, other = machine.run("web", "bridge", ports=web_port()), machine.run("other")
    with answer(web):
        assert fetch(web.namespace.open(), HOST_ADDRESS, 8080).endswith("hello")
    with answer(web):
        assert fetch(other.namespace.open(), HOST_ADDRESS, 8080).endswith("hello")


def test_from_a_container_of_another_network(machine: Machine):
    controller = machine.start()
    machine.host.run(lambda: controller.create_network(NetworkRequest(name="back")))
    web, other = machine.run("web", "bridge", ports=web_port()), machine.run("other", "back")
    with answer(web):
        assert fetch(other.namespace.open(), HOST_ADDRESS, 8080).endswith("hello")


def test_published_on_loopback_is_for_the_host_only(machine: Machine):
    machine.start()
    web = machine.run("web", "bridge", ports=web_port(host_ip="127.0.0.1"))
    # A neighbour that routes 127.0.0.1 to the host by hand: the attack on such ports.
    machine.neighbour.sysctl("net.ipv4.conf.all.route_localnet", "1")
    with answer(web) as server:
        assert not machine.neighbour.reaches(HOST_ADDRESS, 8080)
        assert fetch(machine.host.open(), "127.0.0.1", 8080) == "172.17.0.1 hello"
        assert not machine.host.reaches(HOST_ADDRESS, 8080)
        server.close()


def test_published_on_one_address_is_on_no_other(machine: Machine):
    machine.host.add_address("lan0", "10.99.0.9/24")
    machine.start()
    web = machine.run("web", "bridge", ports=web_port(host_ip="10.99.0.9"))
    with web.namespace.listen("0.0.0.0", 80):
        assert machine.neighbour.reaches("10.99.0.9", 8080)
        assert not machine.neighbour.reaches(HOST_ADDRESS, 8080)


def test_udp_keeps_the_clients_address_and_serves_loopback(machine: Machine):
    machine.start()
    port = PortRequest(container_port=53, protocol="udp", host_port="5353")
    web = machine.run("web", "bridge", ports=(port,))
    server = web.namespace.open(socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", 53))
    for client, address, seen in (
        (machine.neighbour, HOST_ADDRESS, NEIGHBOUR_ADDRESS),
        (machine.host, "127.0.0.5", "172.17.0.1"),
    ):
        with client.open(socket.SOCK_DGRAM) as asking:
            asking.connect((address, 5353))  # only answers from this address are taken
            asking.send(b"ping")
            data, peer = server.recvfrom(100)
            assert (data, peer[0]) == (b"ping", seen)
            server.sendto(b"pong", peer)
            assert asking.recv(100) == b"pong"
    server.close()


def test_a_udp_client_has_one_timer_however_much_it_sends(monkeypatch: pytest.MonkeyPatch):
    loop = Loop()
    with (
        socket.socket(type=socket.SOCK_DGRAM) as container,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        container.bind(("127.0.0.1", 0))
        bound = socket.socket(type=socket.SOCK_DGRAM)
        bound.bind(("127.0.0.1", 0))
        client.connect(bound.getsockname())
        monkeypatch.setattr(udp, "IDLE_S", 0.1)
        port = udp.UdpPort(loop, bound, container.getsockname())
        for number in range(50):
            client.send(b"%d" % number)
            loop.run_once(1)
            assert container.recv(10) == b"%d" % number
        assert len(loop._timers) == 1
        eventually(lambda: loop.run_once(0.05) or not port._clients)
        port.close()


@pytest.mark.parametrize(("every", "asked"), [("0.0.0.0", "127.0.0.2"), ("::", "::1")])
def test_a_udp_answer_comes_from_the_address_that_was_asked(machine: Machine, every, asked):
    loop, here = Loop(), machine.neighbour
    family = socket.AF_INET6 if ":" in every else socket.AF_INET
    with (
        socket.socket(type=socket.SOCK_DGRAM) as container,
        here.open(socket.SOCK_DGRAM, family=family) as client,
    ):
        container.bind(("127.0.0.1", 0))
        bound = here.open(socket.SOCK_DGRAM, family=family)
        bound.bind((every, 0))
        port = udp.UdpPort(loop, bound, container.getsockname())
        client.settimeout(5)
        client.bind((asked.replace("0.2", "0.1"), 0))
        client.connect((asked, bound.getsockname()[1]))  # takes answers from there alone
        client.send(b"ping")
        loop.run_once(1)
        question, relay = container.recvfrom(10)
        container.sendto(question, relay)
        loop.run_once(1)
        assert client.recv(10) == b"ping"
        port.close()


def test_ipv6(machine: Machine):
    controller = machine.start()
    request = NetworkRequest(name="six", enable_ipv6=True)
    machine.host.run(lambda: controller.create_network(request))
    web = machine.run("web", "six", ports=web_port())
    assert [p.host_ip for p in web.sandbox.ports] == ["0.0.0.0", "::"]
    with web.namespace.listen("::", 80):
        assert machine.neighbour.reaches(HOST_ADDRESS_V6, 8080, timeout=3)
        assert machine.neighbour.reaches(HOST_ADDRESS, 8080)


def test_a_port_of_a_container_is_refused_with_the_owner_and_the_next_free_one(machine: Machine):
    machine.start()
    machine.run("web", "bridge", ports=web_port())
    with pytest.raises(PortInUse) as refused:
        machine.run("other", "bridge", ports=web_port())
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in str(refused.value)
    assert refused.value.owner == "container web"
    assert refused.value.next_free == 8081
    assert machine.run("third").address == "172.17.0.3"  # the refused one's lease was given back


def test_a_port_of_a_process_is_refused_by_its_name(machine: Machine):
    machine.start()
    with (
        machine.host.listen("127.0.0.1", 8080),
        pytest.raises(PortInUse) as refused,
    ):
        machine.run("web", "bridge", ports=web_port())
    assert f"(pid {os.getpid()}" in refused.value.owner


def test_range_and_ephemeral_ports(machine: Machine):
    machine.start()
    with machine.host.listen("0.0.0.0", 9000):
        first = machine.run("a", "bridge", ports=web_port("9000-9002"))
        second = machine.run("b", "bridge", ports=web_port("9000-9002"))
    assert {p.host_port for p in first.sandbox.ports} == {9001}
    assert {p.host_port for p in second.sandbox.ports} == {9002}
    any_port = machine.run("c", "bridge", ports=web_port(""))
    assert len({p.host_port for p in any_port.sandbox.ports}) == 1
    assert any_port.sandbox.ports[0].host_port >= 32768
    with pytest.raises(InvalidParameter):
        machine.run("d", "bridge", ports=web_port("70000"))


def test_publish_all(machine: Machine):
    machine.start()
    web = machine.run("web", "bridge", publish_all=True, exposed=("80/tcp", "53/udp"))
    assert {(p.container_port, p.protocol) for p in web.sandbox.ports} == {(80, "tcp"), (53, "udp")}


def test_after_the_end_the_port_is_free(machine: Machine):
    machine.start()
    web = machine.run("web", "bridge", ports=web_port())
    assert machine.host.reaches("127.0.0.1", 8080)  # the keeper accepts before the container does
    machine.end(web)
    eventually(lambda: not machine.host.reaches("127.0.0.1", 8080))
    machine.run("again", "bridge", ports=web_port())


def test_a_port_is_free_as_soon_as_its_container_has_ended(machine: Machine):
    """The userland process closes its socket in its own time; whoever comes next waits for it."""
    controller = machine.start()
    for _ in range(5):
        web = machine.run("web", "bridge", ports=web_port())
        os.kill(controller._services.client.pid, signal.SIGSTOP)
        machine.end(web)
        timer = threading.Timer(0.05, os.kill, (controller._services.client.pid, signal.SIGCONT))
        timer.start()
        machine.end(machine.run("again", "bridge", ports=web_port()))
        timer.join()


def test_refused_in_the_container_is_a_reset_not_an_empty_answer(machine: Machine):
    machine.start()
    machine.run("web", "bridge", ports=web_port())
    client = machine.host.open()
    with client:
        client.connect(("127.0.0.1", 8080))
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_megabyte_each_way_through_the_relay(machine: Machine):
    machine.start()
    web = machine.run("web", "bridge", ports=web_port())
    payload = os.urandom(1 << 20)
    with web.namespace.listen("0.0.0.0", 80) as server, machine.host.open() as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", 8080))
        connection, _ = server.accept()
        for source, sink in ((client, connection), (connection, client)):
            got = bytearray()
            sent = 0
            source.setblocking(False)
            sink.setblocking(False)
            deadline = time.monotonic() + 10
            while len(got) < len(payload) and time.monotonic() < deadline:
                with suppress(BlockingIOError):
                    sent += source.send(payload[sent : sent + 65536]) if sent < len(payload) else 0
                with suppress(BlockingIOError):
                    got += sink.recv(65536)
            assert bytes(got) == payload
        client.shutdown(socket.SHUT_WR)
        connection.settimeout(2)
        assert connection.recv(1) == b""  # half closed: the other half still works
        connection.sendall(b"bye")
        client.settimeout(2)
        assert client.recv(10) == b"bye"
        connection.close()


def test_a_new_engine_keeps_established_and_published_ports(machine: Machine):
    machine.start()
    web = machine.run("web", "bridge", ports=web_port())
    with web.namespace.listen("0.0.0.0", 80) as server:
        outside, inside = machine.neighbour.open(), machine.host.open()
        outside.connect((HOST_ADDRESS, 8080))
        inside.connect(("127.0.0.1", 8080))
        connections = [server.accept()[0], server.accept()[0]]
        before = machine.controller._services.client.pid
        machine.start({web.sandbox.id: web.namespace.fd})
        assert machine.controller._services.client.pid == before
        for client in (outside, inside):
            client.sendall(b"x")
        for connection in connections:
            connection.settimeout(2)
            assert connection.recv(1) == b"x"
            connection.close()
        outside.close()
        inside.close()
        assert machine.neighbour.reaches(HOST_ADDRESS, 8080)
        with pytest.raises(PortInUse):
            machine.run("other", "bridge", ports=web_port())


def test_a_keeper_that_was_killed_is_replaced(machine: Machine):
    controller = machine.start()
    web = machine.run("web", "bridge", ports=web_port())
    os.kill(controller._services.client.pid, signal.SIGKILL)
    eventually(lambda: not machine.host.reaches("127.0.0.1", 8080))
    machine.host.run(controller.check_firewall)
    with answer(web):
        assert fetch(machine.host.open(), "127.0.0.1", 8080) == "172.17.0.1 hello"


def test_ports_come_back_after_a_flush(machine: Machine):
    controller = machine.start()
    web = machine.run("web", "bridge", ports=web_port())
    with machine.host.run(lambda: NetlinkSocket(NETLINK_NETFILTER)) as nft:
        for table in dump_tables(nft):
            Batch().delete_table(table).commit(nft)
    assert machine.host.run(controller.check_firewall)
    with answer(web):
        text = fetch(machine.neighbour.open(), HOST_ADDRESS, 8080)
    assert text == f"{NEIGHBOUR_ADDRESS} hello"


def test_routed_gateway_mode_opens_the_containers_own_address(machine: Machine):
    controller = machine.start()
    request = NetworkRequest(
        name="routed", options={"com.docker.network.bridge.gateway_mode_ipv4": "routed"}
    )
    network = machine.host.run(lambda: controller.create_network(request))
    web = machine.run("web", "routed", ports=web_port())
    machine.neighbour.add_route(network.ipam[0].subnet, HOST_ADDRESS)
    with web.namespace.listen("0.0.0.0", 80), web.namespace.listen("0.0.0.0", 81):
        assert machine.neighbour.reaches(web.address, 80)
        assert not machine.neighbour.reaches(web.address, 81)
