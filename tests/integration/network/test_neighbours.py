"""A container that tells its neighbour where an address is: believed of its own, of no other.

Every lie is told on a network that allows it, too, where the neighbour believes it: so it is a
rule of ours that stops it, and each one is needed.
"""

import socket
import struct
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from cutaway.linux.rtnetlink import dump_neighbours, neighbour_add
from cutaway.linux.rtnetlink.abi import NUD
from cutaway.network import EndpointRequest, IpamConfig, NetworkRequest
from support.frames import (
    ARP,
    IPV4,
    IPV6,
    PROVIDER_VLAN,
    VLAN,
    Station,
    arp,
    behind,
    ethernet,
    icmpv6,
    in_pieces,
    ipv4,
    raw_socket,
    tagged,
    udp,
)
from support.machine import Container, Machine
from support.netns import Namespace
from support.waiting import eventually

HOP_BY_HOP, DESTINATION_OPTIONS, ICMPV6 = 0, 60, 58
PADDING = bytes((0, 1, 4, 0, 0, 0, 0))
NONCE = bytes((14, 1, 1, 2, 3, 4, 5, 6))
SOLICITATION = struct.pack(">BBHI", 135, 0, 0, 0)
OVERRIDE, SOLICITED = 0x2000_0000, 0x4000_0000
NOWHERE = bytes.fromhex("020000000077")


def option(kind: int, mac: bytes) -> bytes:
    return bytes((kind, 1)) + mac


def advertisement(address: bytes, *options: bytes, flags: int = OVERRIDE) -> bytes:
    return struct.pack(">BBHI", 136, 0, 0, flags) + address + b"".join(options)


def lies(me: Station, server: Station, victim: Station) -> dict[str, Sequence[bytes]]:
    """Return the frames of each lie, as ``me`` tells it to the victim."""
    mine, theirs = option(2, me.mac), advertisement(server.ipv6, option(2, me.mac))

    def six(message: bytes, source: bytes = me.ipv6) -> bytes:
        return icmpv6(source, victim.ipv6, message)

    def sent(*packets: bytes, kind: int = IPV6) -> list[bytes]:
        return [ethernet(me.mac, victim.mac, kind, packet) for packet in packets]

    def doubly(frames: Sequence[bytes]) -> list[bytes]:
        return [tagged(frame, VLAN, VLAN) for frame in frames]

    def announced(mac: bytes, address: bytes) -> list[bytes]:
        # Said to oneself: gratuitous, so believed at once, however fresh the truth is.
        return sent(arp(mac, address, Station(mac, address, b"")), kind=ARP)

    claim = announced(me.mac, server.ipv4)
    solicited = advertisement(server.ipv6, mine, flags=OVERRIDE | SOLICITED)
    asked = SOLICITATION + victim.ipv6
    return {
        "ARP": claim,
        "ARP, another's Ethernet address": announced(NOWHERE, me.ipv4),
        "ARP in a tag": [tagged(frame, VLAN) for frame in claim],
        "ARP in two tags": doubly(claim),
        "ARP in a provider's tag and one more": [
            tagged(frame, PROVIDER_VLAN, VLAN) for frame in claim
        ],
        "ARP in a tag and one more, a provider's": [
            tagged(frame, VLAN, PROVIDER_VLAN) for frame in claim
        ],
        "advertisement": sent(six(theirs)),
        "solicited": sent(six(solicited)),
        "from the link-local address": sent(six(theirs, me.link_local)),
        "of a link-local address": sent(six(advertisement(server.link_local, mine))),
        "of one's own, at nobody's": sent(six(advertisement(me.ipv6, option(2, NOWHERE)))),
        "a false option behind a true one": sent(
            six(advertisement(me.ipv6, option(1, me.mac), option(2, NOWHERE)))
        ),
        "a false option behind another": sent(
            six(advertisement(me.ipv6, NONCE, option(2, NOWHERE)))
        ),
        "behind hop-by-hop options": sent(behind(six(theirs), HOP_BY_HOP, PADDING)),
        "behind destination options": sent(behind(six(theirs), DESTINATION_OPTIONS, PADDING)),
        "in pieces": sent(*in_pieces(six(theirs), 24, ICMPV6)),
        "in pieces, the address later": sent(*in_pieces(six(theirs), 8, ICMPV6)),
        "in pieces, of one's own, at nobody's": sent(
            *in_pieces(six(advertisement(me.ipv6, option(2, NOWHERE))), 24, ICMPV6)
        ),
        "in two tags": doubly(sent(six(theirs))),
        "question of another": sent(six(asked + option(1, me.mac), server.ipv6)),
        "question from nobody's": sent(six(asked + option(1, NOWHERE))),
        "question from nobody's, behind another": sent(six(asked + NONCE + option(1, NOWHERE))),
    }


def believed(victim: Container) -> dict[str, str]:
    """Return where the victim thinks that its neighbours are."""
    index = victim.namespace.index("eth0")
    with victim.namespace.netlink() as netlink:
        found = dump_neighbours(netlink, index)
    return {n.address: n.link_address for n in found if not ip_address(n.address).is_multicast}


def teach(victim: Container, *stations: Station) -> None:
    """Tell the victim where its neighbours are in truth."""
    index = victim.namespace.index("eth0")
    pairs = [(s, a) for s in stations for a in (s.ipv4, s.ipv6, s.link_local)]
    victim.namespace.configure(
        [
            neighbour_add(index, str(ip_address(a)), s.mac.hex(":"), state=NUD.REACHABLE)
            for s, a in pairs
        ]
    )


def make(machine: Machine, network: str, **more: object) -> None:
    options = {"com.cutaway.network.bridge.anti_spoofing": str(network != "free").lower()}
    options.update(more.pop("options", {}))  # type: ignore[call-overload]
    request = NetworkRequest(name=network, enable_ipv6=True, options=options, **more)  # type: ignore[arg-type]
    machine.host.run(lambda: machine.controller.create_network(request))


@pytest.mark.parametrize("network", ["guarded", "free"])
def test_nobody_takes_anothers_address(machine: Machine, network: str):
    machine.start()
    make(machine, network)
    containers = [machine.run(name, network) for name in ("attacker", "server", "victim")]
    attacker, server, victim = containers
    me, target, other = map(Station.of, containers)
    victim.namespace.sysctl("net.ipv6.conf.eth0.suppress_frag_ndisc", "0")
    truth = None
    successful = []
    every = lies(me, target, other)
    with (
        attacker.namespace.run(lambda: raw_socket("eth0")) as sending,
        victim.namespace.open(socket.SOCK_DGRAM) as listening,
    ):
        listening.bind((victim.address, 1000))
        for what, frames in every.items():
            teach(victim, me, target)
            truth = truth or believed(victim)
            for frame in frames:
                sending.send(frame)
            honest = ipv4(me.ipv4, other.ipv4, udp(1000, 1000, b"honest"))
            sending.send(ethernet(me.mac, other.mac, IPV4, honest))
            assert listening.recv(9) == b"honest"
            if believed(victim) != truth:
                successful.append(what)
    assert successful == ([] if network == "guarded" else list(every))


def finds(sender: Namespace, receiver: Namespace, address: str) -> bool:
    """Tell whether a datagram arrives, for which the sender asks where the address is."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    link = sender.index("eth0") if address.startswith("fe80:") else 0
    with (
        receiver.open(socket.SOCK_DGRAM, family) as server,
        sender.open(socket.SOCK_DGRAM, family) as client,
    ):
        server.bind(("", 1000))
        client.sendto(b"hello", (address, 1000, 0, link) if ":" in address else (address, 1000))
        try:
            return server.recv(9) == b"hello"
        except TimeoutError:
            return False


def test_the_truth_is_believed(machine: Machine):
    machine.start()
    make(machine, "guarded", ipam=(IpamConfig(subnet="fd42::/64"),))
    fixed = "fd42::42"
    wanted = EndpointRequest(network="guarded", ipv6=fixed, link_local=("fe80::99",))
    server, client = machine.run("server", wanted), machine.run("client", "guarded")
    for address in (server.address, fixed, "fe80::99"):
        assert finds(client.namespace, server.namespace, address)
    own = str(ip_address(Station.of(server).link_local))
    eventually(lambda: finds(client.namespace, server.namespace, own))


def test_the_truth_is_believed_of_a_network_that_comes_and_goes(machine: Machine):
    controller = machine.start()
    make(machine, "later", internal=True, options={"com.docker.network.bridge.enable_icc": "false"})
    server, wanted = machine.run("server", "bridge"), EndpointRequest(network="later")
    before = machine.host.nft("list table bridge cutaway")
    fd = server.namespace.fd
    new = machine.host.run(lambda: controller.connect(server.sandbox.id, wanted, fd))
    for address in (new.address, new.address_v6):
        assert finds(machine.host, server.namespace, address)
    machine.host.run(lambda: controller.disconnect(server.sandbox.id, "later", fd))
    assert machine.host.nft("list table bridge cutaway") == before
