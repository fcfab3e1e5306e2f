"""Attacks that one rule alone stops: the other walls are down, or don't stand there.

The host was a router before the engine came, so that nothing is refused for not being one.
"""

import socket
from ipaddress import ip_address

import pytest

from cutaway.network import Controller, IpamConfig, NetworkRequest
from support.frames import IPV4, Station, ethernet, ipv4, raw_socket, udp
from support.machine import HOST_ADDRESS, NEIGHBOUR_ADDRESS, Machine
from support.netns import Namespace

MODE = "com.docker.network.bridge.gateway_mode_ipv4"


@pytest.fixture
def router(machine: Machine) -> Machine:
    machine.host.sysctl("net.ipv4.conf.all.forwarding", "1")
    machine.start()
    return machine


def make(router: Machine, name: str, **more: object) -> str:
    """Make a network that the neighbour knows the way to; return its gateway."""
    controller: Controller = router.controller
    request = NetworkRequest(name=name, **more)  # type: ignore[arg-type]
    network = router.host.run(lambda: controller.create_network(request))
    router.neighbour.add_route(network.ipam[0].subnet, HOST_ADDRESS)
    return network.ipam[0].gateway


def mac_of(namespace: Namespace, link: str) -> bytes:
    with namespace.run(lambda: raw_socket(link)) as asked:
        return asked.getsockname()[4]


def test_a_neighbour_can_not_join_a_conversation_of_two_containers(router: Machine):
    """It is established, so only the address says that this packet comes from the wrong side."""
    make(router, "net")
    one, two = router.run("one", "net"), router.run("two", "net")
    me, victim = Station.of(one), Station.of(two)
    with (
        one.namespace.open(socket.SOCK_DGRAM) as client,
        two.namespace.open(socket.SOCK_DGRAM) as server,
        router.neighbour.run(lambda: raw_socket("lan0")) as wire,
    ):
        client.bind(("0.0.0.0", 1000))
        server.bind(("0.0.0.0", 2000))
        client.connect((two.address, 2000))
        client.send(b"hello")
        server.sendto(b"hello", server.recvfrom(9)[1])
        assert client.recv(9) == b"hello"
        evil = ipv4(me.ipv4, victim.ipv4, udp(1000, 2000, b"evil"))
        ours, hosts = mac_of(router.neighbour, "lan0"), mac_of(router.host, "lan0")
        wire.send(ethernet(ours, hosts, IPV4, evil))
        client.send(b"honest")
        assert server.recv(9) == b"honest"


def test_the_hosts_loopback_is_closed_even_where_somebody_opened_it(router: Machine):
    make(router, "net")
    attacker = router.run("attacker", "net")
    bridge = router.controller.network("net").device
    router.host.sysctl(f"net.ipv4.conf.{bridge}.route_localnet", "1")
    me, hosts = Station.of(attacker), mac_of(router.host, bridge)
    gateway = router.controller.network("net").ipam[0].gateway
    with (
        attacker.namespace.run(lambda: raw_socket("eth0")) as sending,
        router.host.open(socket.SOCK_DGRAM) as private,
        router.host.open(socket.SOCK_DGRAM) as public,
    ):
        private.bind(("127.0.0.1", 1000))
        public.bind((gateway, 1000))
        for target in ("127.0.0.1", gateway):
            data = ipv4(me.ipv4, ip_address(target).packed, udp(1000, 1000, b"hello"))
            sending.send(ethernet(me.mac, hosts, IPV4, data))
        assert public.recv(9) == b"hello"
        private.setblocking(False)
        with pytest.raises(BlockingIOError):
            private.recv(9)


def test_nothing_leaves_an_internal_network_even_if_no_answer_can_come(router: Machine):
    gateway = make(router, "inner", internal=True)
    web = router.run("web", "inner")
    web.namespace.add_route("default", gateway)
    with (
        router.neighbour.open(socket.SOCK_DGRAM) as listening,
        web.namespace.open(socket.SOCK_DGRAM) as leaking,
        router.host.open(socket.SOCK_DGRAM) as honest,
    ):
        listening.bind((NEIGHBOUR_ADDRESS, 1000))
        leaking.sendto(b"secret", (NEIGHBOUR_ADDRESS, 1000))
        honest.sendto(b"hello", (NEIGHBOUR_ADDRESS, 1000))
        assert listening.recv(9) == b"hello"


def test_nothing_enters_an_internal_network_whatever_its_gateway_mode(router: Machine):
    make(router, "inner", internal=True, options={MODE: "nat-unprotected"})
    web, other = router.run("web", "inner"), router.run("other", "inner")
    with (
        web.namespace.open(socket.SOCK_DGRAM) as listening,
        router.neighbour.open(socket.SOCK_DGRAM) as evil,
        other.namespace.open(socket.SOCK_DGRAM) as honest,
    ):
        listening.bind(("0.0.0.0", 1000))
        evil.sendto(b"evil", (web.address, 1000))
        honest.sendto(b"honest", (web.address, 1000))
        assert listening.recv(9) == b"honest"


def test_a_connection_of_a_gone_network_leads_into_no_internal_one_of_its_addresses(
    router: Machine,
):
    """Connection tracking remembers it as established, for minutes or days."""
    subnet = (IpamConfig(subnet="172.30.0.0/24"),)
    make(router, "open", ipam=subnet)
    before = router.run("before", "open")
    with router.neighbour.open(socket.SOCK_DGRAM) as evil:
        evil.bind((NEIGHBOUR_ADDRESS, 1000))
        with before.namespace.open(socket.SOCK_DGRAM) as client:
            client.bind(("0.0.0.0", 2000))
            client.sendto(b"hello", (NEIGHBOUR_ADDRESS, 1000))
            back = evil.recvfrom(9)[1]
            evil.sendto(b"hello", back)
            assert client.recv(9) == b"hello"
        router.end(before)
        router.host.run(lambda: router.controller.remove_network("open"))
        inner = NetworkRequest(name="inner", internal=True, ipam=subnet)
        router.host.run(lambda: router.controller.create_network(inner))
        after, other = router.run("after", "inner"), router.run("other", "inner")
        assert after.address == before.address
        with (
            after.namespace.open(socket.SOCK_DGRAM) as listening,
            other.namespace.open(socket.SOCK_DGRAM) as honest,
        ):
            listening.bind(("0.0.0.0", 2000))
            evil.sendto(b"evil", back)
            honest.sendto(b"honest", (after.address, 2000))
            assert listening.recv(9) == b"honest"


def test_icc_off_holds_on_an_unprotected_network_by_way_of_its_gateway(router: Machine):
    icc = "com.docker.network.bridge.enable_icc"
    gateway = make(router, "open", options={MODE: "nat-unprotected", icc: "false"})
    one, two = router.run("one", "open"), router.run("two", "open")
    one.namespace.add_route(f"{two.address}/32", gateway)
    with (
        two.namespace.open(socket.SOCK_DGRAM) as listening,
        one.namespace.open(socket.SOCK_DGRAM) as evil,
        router.neighbour.open(socket.SOCK_DGRAM) as honest,
    ):
        listening.bind(("0.0.0.0", 1000))
        evil.sendto(b"evil", (two.address, 1000))
        honest.sendto(b"honest", (two.address, 1000))
        assert listening.recv(9) == b"honest"


def test_only_published_ports_of_a_routed_network_are_open_on_a_router(router: Machine):
    make(router, "routed", options={MODE: "routed"})
    web = router.run("web", "routed")
    with web.namespace.listen("0.0.0.0", 80):
        assert not router.neighbour.reaches(web.address, 80)
