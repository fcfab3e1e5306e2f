"""``port add`` and ``port rm`` on running containers, and publish mode ``host``."""

import socket

import pytest

from cutaway.errors import InvalidParameter
from cutaway.linux.netlink import NETLINK_NETFILTER, NetlinkSocket
from cutaway.linux.nftables import dump_elements
from cutaway.network import EndpointRequest, NetworkRequest, PortRequest
from cutaway.network.firewall.sets import Entry, Tables, encode_entry
from cutaway.network.publishing.ports import PortInUse
from cutaway.steps import Ledger
from support.machine import HOST_ADDRESS, NEIGHBOUR_ADDRESS, Container, Machine
from support.netns import fetch, serve_once
from support.waiting import eventually


def publish(machine: Machine, container: Container, *ports: PortRequest) -> Ledger:
    ledger = Ledger("engine")
    fd = container.namespace.fd
    machine.host.run(lambda: machine.controller.publish(container.sandbox.id, ports, fd, ledger))
    return ledger


def unpublish(machine: Machine, container: Container, *ports: PortRequest) -> int:
    fd, ledger = container.namespace.fd, Ledger("engine")
    return len(
        machine.host.run(
            lambda: machine.controller.unpublish(container.sandbox.id, ports, fd, ledger)
        )
    )


def test_a_port_is_published_and_taken_back_while_the_container_runs(machine: Machine):
    machine.start()
    web = machine.run("web", "bridge")
    ledger = publish(machine, web, PortRequest(container_port=80, host_port="8080"))
    assert [r.kind for r in ledger.records()][-1] == "AddFirewallElements"
    with web.namespace.listen("0.0.0.0", 80) as server:
        serve_once(server, b"hello")
        text = fetch(machine.neighbour.open(), HOST_ADDRESS, 8080)
        assert text == f"{NEIGHBOUR_ADDRESS} hello"
        assert machine.host.reaches("127.0.0.1", 8080)
        with pytest.raises(PortInUse) as refused:
            publish(machine, web, PortRequest(container_port=81, host_port="8080"))
        assert refused.value.owner == "container web"
        # both families, all addresses
        assert unpublish(machine, web, PortRequest(container_port=80)) == 2
        eventually(lambda: not machine.host.reaches("127.0.0.1", 8080))
        assert not machine.neighbour.reaches(HOST_ADDRESS, 8080)
    assert unpublish(machine, web, PortRequest(container_port=80)) == 0
    with machine.host.listen("0.0.0.0", 8080):
        pass  # the port is the host's again


def test_one_port_of_two_is_taken_back_and_a_new_engine_knows_the_other(machine: Machine):
    machine.start()
    web = machine.run("web", "bridge", ports=(PortRequest(container_port=80, host_port="8080"),))
    publish(machine, web, PortRequest(container_port=80, host_port="8081", host_ip="127.0.0.1"))
    machine.start({web.sandbox.id: web.namespace.fd})
    with web.namespace.listen("0.0.0.0", 80):
        assert machine.host.reaches("127.0.0.1", 8081)
        unpublish(machine, web, PortRequest(container_port=80, host_port="8080"))
        eventually(lambda: not machine.host.reaches("127.0.0.1", 8080))
        assert not machine.neighbour.reaches(HOST_ADDRESS, 8080)
        assert machine.host.reaches("127.0.0.1", 8081)


def test_ports_come_and_go_with_the_network_that_leads_out(machine: Machine):
    controller = machine.start()
    machine.host.run(lambda: controller.create_network(NetworkRequest(name="in", internal=True)))
    web = machine.run("web", "in", ports=(PortRequest(container_port=80, host_port="8080"),))
    out, fd = EndpointRequest(network="bridge"), web.namespace.fd
    assert controller.sandbox(web.sandbox.id).ports == ()
    with machine.host.listen("0.0.0.0", 8080), pytest.raises(PortInUse):
        machine.host.run(lambda: controller.connect(web.sandbox.id, out, fd))
    assert controller.sandbox(web.sandbox.id) == web.sandbox
    machine.host.run(lambda: controller.connect(web.sandbox.id, out, fd))
    with web.namespace.listen("0.0.0.0", 80) as server:
        serve_once(server, b"hello")
        text = fetch(machine.neighbour.open(), HOST_ADDRESS, 8080)
        assert text == f"{NEIGHBOUR_ADDRESS} hello"
        assert machine.host.reaches("127.0.0.1", 8080)
    machine.host.run(lambda: controller.disconnect(web.sandbox.id, "bridge", fd))
    assert controller.sandbox(web.sandbox.id).ports == ()
    eventually(lambda: machine.host.has_free(8080))  # the process on loopback hears of it, too
    machine.host.run(lambda: controller.connect(web.sandbox.id, out, fd))
    with web.namespace.listen("0.0.0.0", 80):
        assert machine.neighbour.reaches(HOST_ADDRESS, 8080)


def test_what_can_not_be_published_changes_nothing(machine: Machine):
    controller = machine.start()
    machine.host.run(lambda: controller.create_network(NetworkRequest(name="in", internal=True)))
    inner = machine.run("inner", "in")
    with pytest.raises(InvalidParameter, match="on no bridge network with a way out"):
        publish(machine, inner, PortRequest(container_port=80, host_port="8080"))
    web = machine.run("web", "bridge")
    with pytest.raises(InvalidParameter, match="mode host"):
        publish(machine, web, PortRequest(container_port=80, protocol="sctp", mode="host"))
    with machine.host.listen("0.0.0.0", 8081), pytest.raises(PortInUse):
        publish(
            machine,
            web,
            PortRequest(container_port=80, host_port="8080"),
            PortRequest(container_port=80, host_port="8081"),
        )
    assert not machine.host.reaches("127.0.0.1", 8080)
    assert controller.sandbox(web.sandbox.id).ports == ()


def test_mode_host_comes_in_by_the_hosts_own_firewall(machine: Machine):
    machine.start(publish_mode="host")
    ports = (PortRequest(container_port=80, host_port="8080"),)
    ports += (PortRequest(container_port=80, host_port="8081", mode="dnat"),)
    web = machine.run("web", "bridge", ports=ports)
    script = "add table inet ufw; add chain inet ufw in { type filter hook input priority 0; }; "
    script += "add rule inet ufw in tcp dport { 8080, 8081 } drop"
    machine.host.nft(script)
    with web.namespace.listen("0.0.0.0", 80) as server:
        assert not machine.neighbour.reaches(HOST_ADDRESS, 8080)  # ufw says no, and is obeyed
        assert machine.neighbour.reaches(HOST_ADDRESS, 8081)  # translated before INPUT
        server.accept()[0].close()
        machine.host.nft("flush chain inet ufw in")
        serve_once(server, b"hello")
        seen = fetch(machine.neighbour.open(), HOST_ADDRESS, 8080)
        assert seen == "172.17.0.1 hello"  # a listener's price: the bridge's address


def test_sctp_is_translated_though_the_kernel_may_have_no_sctp_sockets(machine: Machine):
    machine.start()
    port = PortRequest(container_port=3868, protocol="sctp", host_port="3868")
    web = machine.run("web", "bridge", ports=(port,))
    entry = Entry("anyports4", ("sctp", "3868"), (web.address, "3868"))
    with machine.host.run(lambda: NetlinkSocket(NETLINK_NETFILTER)) as nft:
        found = dump_elements(nft, Tables("cutaway").inet, "anyports4")
    assert encode_entry(entry).key in [e.key for e in found]
    with (
        machine.neighbour.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)) as out,
        web.namespace.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)) as inside,
    ):
        inside.settimeout(3)
        out.sendto(sctp_init(5000, 3868), (HOST_ADDRESS, 0))
        packet = inside.recv(2048)
    assert socket.inet_ntoa(packet[12:16]) == NEIGHBOUR_ADDRESS
    assert socket.inet_ntoa(packet[16:20]) == web.address


def sctp_init(source: int, destination: int) -> bytes:
    """An SCTP packet that asks for an association (RFC 9260 3.3.2)."""
    ports = source.to_bytes(2, "big") + destination.to_bytes(2, "big")
    tag, window, streams, first = 1, 65535, 1, 1
    body = tag.to_bytes(4, "big") + window.to_bytes(4, "big")
    body += streams.to_bytes(2, "big") * 2 + first.to_bytes(4, "big")
    chunk = b"\1\0" + (4 + len(body)).to_bytes(2, "big") + body
    no_tag_yet = bytes(4)
    checksum = crc32c(ports + no_tag_yet + bytes(4) + chunk)
    return ports + no_tag_yet + checksum.to_bytes(4, "little") + chunk


def crc32c(data: bytes) -> int:
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF
