"""Every option of a bridge network has its effect, seen by packets and addresses."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from cutaway.linux.rtnetlink import dump_addresses, get_link, link_set
from cutaway.network import EndpointRequest, IpamConfig, Network, NetworkRequest, PortRequest
from cutaway.network.errors import AddressInUse
from support.machine import (
    HOST_ADDRESS,
    HOST_ADDRESS_V6,
    NEIGHBOUR_ADDRESS,
    NEIGHBOUR_ADDRESS_V6,
    Container,
    Machine,
)
from support.netns import fetch, serve_once

BRIDGE = "com.docker.network.bridge."
PORT = (PortRequest(container_port=80, protocol="tcp", host_port="8080"),)


def make(machine: Machine, *options: str, **request: Any) -> Network:
    """Make the network ``net`` with driver options, ``name=value`` each."""
    pairs = dict(option.split("=", 1) for option in options)
    wanted = NetworkRequest(name="net", options=pairs, **request)
    return machine.host.run(lambda: machine.controller.create_network(wanted))


@pytest.fixture
def started(machine: Machine) -> Machine:
    machine.start()
    return machine


def addresses_of(machine: Machine, link: str) -> list[str]:
    index = machine.host.index(link)
    with machine.host.netlink() as netlink:
        return [a.prefix for a in dump_addresses(netlink) if a.index == index]


def seen_by_the_neighbour(machine: Machine, web: Container, address: str) -> str:
    with machine.neighbour.listen(address, 90) as server:
        serve_once(server, b"")
        family = 10 if ":" in address else 2
        return fetch(web.namespace.open(family=family), address, 90).strip()


def test_the_bridge_has_its_name(started: Machine) -> None:
    make(started, f"{BRIDGE}name=br-mine")
    started.run("web", "net")
    assert "br-mine" in started.host.links()


def test_mtu_of_the_bridge_and_every_interface(started: Machine) -> None:
    make(started, "com.docker.network.driver.mtu=1380", f"{BRIDGE}name=br-mine")
    web = started.run("web", "net")
    with web.namespace.netlink() as netlink:
        assert get_link(netlink, "eth0").mtu == 1380
    with started.host.netlink() as netlink:
        assert get_link(netlink, "br-mine").mtu == 1380


def test_icc_off(started: Machine) -> None:
    make(started, f"{BRIDGE}enable_icc=false")
    one, two = started.run("one", "net"), started.run("two", "net")
    with two.namespace.listen("0.0.0.0", 80):
        assert not one.namespace.reaches(two.address, 80)


def test_masquerade_off_shows_the_containers_own_address(started: Machine) -> None:
    network = make(started, f"{BRIDGE}enable_ip_masquerade=false")
    web = started.run("web", "net")
    started.neighbour.add_route(network.ipam[0].subnet, HOST_ADDRESS)
    assert seen_by_the_neighbour(started, web, NEIGHBOUR_ADDRESS) == web.address
    with web.namespace.listen("0.0.0.0", 80):
        assert not started.neighbour.reaches(web.address, 80)


def test_host_ipv4_is_the_address_to_hide_behind(started: Machine) -> None:
    started.host.add_address("lan0", "10.99.0.77/24")
    make(started, "com.docker.network.host_ipv4=10.99.0.77")
    web = started.run("web", "net")
    assert seen_by_the_neighbour(started, web, NEIGHBOUR_ADDRESS) == "10.99.0.77"


def test_host_ipv6_is_the_address_to_hide_behind(started: Machine) -> None:
    started.host.add_address("lan0", "fd99::77/64")
    make(started, "com.docker.network.host_ipv6=fd99::77", enable_ipv6=True)
    web = started.run("web", "net")
    assert seen_by_the_neighbour(started, web, NEIGHBOUR_ADDRESS_V6) == "fd99::77"


def test_host_binding_is_where_ports_are_published(started: Machine) -> None:
    make(started, f"{BRIDGE}host_binding_ipv4=127.0.0.1")
    web = started.run("web", "net", ports=PORT)
    assert [b.host_ip for b in web.sandbox.ports] == ["127.0.0.1"]
    with web.namespace.listen("0.0.0.0", 80):
        assert started.host.reaches("127.0.0.1", 8080)
        assert not started.neighbour.reaches(HOST_ADDRESS, 8080)


@pytest.mark.parametrize(
    ("mode", "open_ports", "at_the_host"),
    [("nat", [], True), ("nat-unprotected", [80, 81], True), ("routed", [80], False)],
)
@pytest.mark.parametrize("version", [4, 6])
def test_gateway_modes(
    started: Machine, mode: str, open_ports: list[int], at_the_host: bool, version: int
) -> None:
    """Whether a neighbour gets in by the container's own address, and by the host's."""
    network = make(started, f"{BRIDGE}gateway_mode_ipv{version}={mode}", enable_ipv6=version == 6)
    web = started.run("web", "net", ports=PORT)
    host = HOST_ADDRESS if version == 4 else HOST_ADDRESS_V6
    started.neighbour.add_route(network.subnets(version)[0].subnet, host)
    endpoint = web.sandbox.endpoints[0]
    own = endpoint.address if version == 4 else endpoint.address_v6
    every, patience = ("0.0.0.0", 0.6) if version == 4 else ("::", 3)
    neighbour = started.neighbour
    with web.namespace.listen(every, 80), web.namespace.listen(every, 81):
        assert neighbour.reaches(host, 8080, timeout=patience) == at_the_host
        assert [p for p in (80, 81) if neighbour.reaches(own, p, timeout=patience)] == open_ports


def test_an_isolated_gateway_is_no_address_of_the_host(started: Machine) -> None:
    network = make(started, f"{BRIDGE}gateway_mode_ipv4=isolated", internal=True)
    one, two = started.run("one", "net"), started.run("two", "net")
    assert addresses_of(started, network.device) == []
    with two.namespace.listen("0.0.0.0", 80):
        assert one.namespace.reaches(two.address, 80)
        assert not started.host.reaches(two.address, 80)


def test_inhibit_ipv4_leaves_the_bridge_without_an_address(started: Machine) -> None:
    network = make(started, f"{BRIDGE}inhibit_ipv4=true")
    assert addresses_of(started, network.device) == []
    web = started.run("web", "net")
    assert web.sandbox.endpoints[0].gateway == network.ipam[0].gateway


def test_addresses_come_from_the_sub_pool(started: Machine) -> None:
    part = IpamConfig(subnet="10.70.0.0/16", ip_range="10.70.8.0/30", gateway="10.70.0.1")
    make(started, ipam=(part,))
    found = [started.run(f"c{n}", "net").address for n in range(4)]
    assert all(ip_address(a) in ip_network("10.70.8.0/30") for a in found)
    assert len(set(found)) == 4


def test_auxiliary_addresses_are_nobodys(started: Machine) -> None:
    config = IpamConfig(subnet="10.70.0.0/24", aux_addresses={"printer": "10.70.0.2"})
    make(started, ipam=(config,))
    assert started.run("web", "net").address == "10.70.0.3"
    with pytest.raises(AddressInUse, match=r"10\.70\.0\.2 belongs to auxiliary address printer"):
        started.run("two", EndpointRequest(network="net", ipv4="10.70.0.2"))


def test_interfaces_have_the_networks_prefix(started: Machine) -> None:
    make(started, "com.docker.network.container_iface_prefix=wire")
    assert set(started.run("web", "net").namespace.links()) == {"lo", "wire0"}


def test_trusted_interfaces_of_the_host_let_neighbours_in(started: Machine) -> None:
    network = make(started, f"{BRIDGE}trusted_host_interfaces=lan0")
    web = started.run("web", "net")
    started.neighbour.add_route(network.ipam[0].subnet, HOST_ADDRESS)
    with web.namespace.listen("0.0.0.0", 80):
        assert started.neighbour.reaches(web.address, 80)


def test_anti_spoofing_can_be_switched_off(started: Machine) -> None:
    subnet = IpamConfig(subnet="10.70.0.0/24")
    make(started, "com.cutaway.network.bridge.anti_spoofing=false", ipam=(subnet,))
    web = started.run("web", "net")
    web.namespace.add_address("eth0", "10.70.0.99/24")
    with web.namespace.listen("10.70.0.99", 80):
        assert started.host.reaches("10.70.0.99", 80)


def test_a_network_of_ipv6_alone(started: Machine) -> None:
    make(started, enable_ipv4=False, enable_ipv6=True)
    endpoint = started.run("web", "net").sandbox.endpoints[0]
    assert (endpoint.ipv4, endpoint.gateway) == ("", "")
    assert endpoint.address_v6


def test_an_option_that_nobody_knows_is_kept_and_does_nothing(started: Machine) -> None:
    """As in dockerd, whose bridge driver reads the labels it knows."""
    assert make(started, "com.example.colour=red").options == {"com.example.colour": "red"}


def test_the_mtu_is_that_of_the_way_out(machine: Machine) -> None:
    machine.host.add_route("default", NEIGHBOUR_ADDRESS)
    machine.host.configure([link_set("lan0", mtu=1420)])
    machine.start()
    assert make(machine).mtu == 1420
    assert machine.controller.network("bridge").mtu == 1420
