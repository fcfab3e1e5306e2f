"""Frames that a container forges, from a raw socket as CAP_NET_RAW has it: none gets through.

Those that make a neighbour believe something are in ``test_neighbours.py``.

Each is sent before an honest one on the same wire: when that one has come, the other never will.
On a network that allows it every one of them arrives, so it is the rule that stops it.
"""

import struct
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from cutaway.network import NetworkRequest
from support.frames import (
    ARP,
    IPV4,
    IPV6,
    Station,
    arp,
    behind,
    ethernet,
    icmpv6,
    in_pieces,
    ipv4,
    ipv6,
    raw_socket,
    udp,
)
from support.machine import Container, Machine

HOP_BY_HOP, UDP, ICMPV6, DESTINATION_OPTIONS = 0, 17, 58, 60
PADDING = bytes((0, 1, 4, 0, 0, 0, 0))
ANOTHERS_MAC = bytes.fromhex("020000000077")
ROUTER_ADVERTISEMENT = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)


def forged(me: Station, victim: Station) -> dict[str, bytes]:
    """Return the frames that pretend to be somebody else's."""
    anothers4, anothers6 = me.ipv4[:3] + b"\x01", me.ipv6[:-1] + b"\x77"
    own = udp(1000, 1000)
    claim = struct.pack(">BBHI", 136, 0, 0, 0x2000_0000) + anothers6
    # The first 16 bytes behind a router's message header are any that it likes.
    router = ROUTER_ADVERTISEMENT[:8] + me.ipv6
    redirect = struct.pack(">BBHI", 137, 0, 0, 0) + me.ipv6 + anothers6
    probe = struct.pack(">BBHI", 135, 0, 0, 0) + anothers6
    everybody = ip_address("ff02::1").packed

    def six(message: bytes, source: bytes = me.link_local) -> bytes:
        return icmpv6(source, victim.ipv6, message)

    hidden = behind(six(ROUTER_ADVERTISEMENT), DESTINATION_OPTIONS, PADDING)

    def by(kind: int, payload: bytes, mac: bytes = me.mac) -> bytes:
        return ethernet(mac, victim.mac, kind, payload)

    return {
        "Ethernet address": by(IPV4, ipv4(me.ipv4, victim.ipv4, own), ANOTHERS_MAC),
        "ARP: the gateway is at my address": by(ARP, arp(me.mac, anothers4, victim)),
        "ARP: my address is at another's": by(ARP, arp(ANOTHERS_MAC, me.ipv4, victim)),
        "IPv4 address": by(IPV4, ipv4(anothers4, victim.ipv4, own)),
        "DHCP answer": by(IPV4, ipv4(me.ipv4, victim.ipv4, udp(67, 68))),
        "ARP: I'd like the gateway's address": by(ARP, arp(me.mac, bytes(4), victim)),
        "IPv6 address": by(IPV6, ipv6(anothers6, victim.ipv6, UDP, own)),
        "link-local address": by(IPV6, ipv6(victim.link_local, victim.ipv6, UDP, own)),
        "neighbour, without an option": by(IPV6, six(claim)),
        "I'd like your address": by(IPV6, icmpv6(bytes(16), everybody, probe)),
        "router": by(IPV6, six(ROUTER_ADVERTISEMENT)),
        "router, with one's own address in it": by(IPV6, six(router)),
        "router, behind options": by(IPV6, behind(six(ROUTER_ADVERTISEMENT), HOP_BY_HOP, PADDING)),
        "redirect": by(IPV6, six(redirect)),
        "message in a later piece": by(IPV6, in_pieces(hidden, 8, DESTINATION_OPTIONS)[0]),
    }


def arrived(machine: Machine, attacker: Container, frames: dict[str, bytes]) -> list[str]:
    """Let a container send frames; return which of them its neighbour saw until the last."""
    (victim,) = [c for c in machine.containers if c is not attacker]
    *_, last = frames
    leave_pieces_alone(machine)
    seen: list[str] = []
    with (
        attacker.namespace.run(lambda: raw_socket("eth0")) as sending,
        victim.namespace.run(lambda: raw_socket("eth0")) as receiving,
    ):
        for frame in frames.values():
            sending.send(frame)
        while last not in seen:
            came = receiving.recv(2000)
            seen += [what for what, frame in frames.items() if frame == came]
    return seen


def leave_pieces_alone(machine: Machine) -> None:
    """Keep br_netfilter, where it is, from joining the pieces of packets that cross bridges."""
    with suppress(FileNotFoundError):
        machine.host.sysctl("net.bridge.bridge-nf-call-ip6tables", "0")


def honest(me: Station, other: Station) -> bytes:
    return ethernet(me.mac, other.mac, IPV4, ipv4(me.ipv4, other.ipv4, udp(1000, 1000)))


@pytest.mark.parametrize("network", ["guarded", "free"])
def test_forged_frames_arrive_only_where_they_are_allowed(machine: Machine, network: str):
    controller = machine.start()
    options = {"com.cutaway.network.bridge.anti_spoofing": str(network == "guarded").lower()}
    request = NetworkRequest(name=network, enable_ipv6=True, options=options)
    machine.host.run(lambda: controller.create_network(request))
    attacker, victim = (machine.run(name, network) for name in ("attacker", "victim"))
    me, other = Station.of(attacker), Station.of(victim)
    frames = {**forged(me, other), "honest": honest(me, other)}
    expected = ["honest"] if network == "guarded" else list(frames)
    assert arrived(machine, attacker, frames) == expected
    routes = victim.namespace.run(lambda: Path("/proc/thread-self/net/ipv6_route").read_text())
    assert me.link_local.hex() not in routes  # not even where the router is heard


@pytest.mark.parametrize("egress", ["none", ""])
def test_a_fenced_container_can_not_hide_behind_its_link_local_address(
    machine: Machine, egress: str
):
    controller = machine.start()
    request = NetworkRequest(name="six", enable_ipv6=True)
    machine.host.run(lambda: controller.create_network(request))
    attacker, victim = machine.run("attacker", "six", egress=egress), machine.run("victim", "six")
    me, other = Station.of(attacker), Station.of(victim)
    packet = ipv6(me.link_local, other.ipv6, UDP, udp(1000, 1000))
    hidden = ethernet(me.mac, other.mac, IPV6, packet)
    seen = arrived(machine, attacker, {"hidden": hidden, "honest": honest(me, other)})
    assert seen == (["honest"] if egress else ["hidden", "honest"])


def test_what_is_said_truly_arrives_in_whatever_form(machine: Machine):
    controller = machine.start()
    request = NetworkRequest(name="six", enable_ipv6=True)
    machine.host.run(lambda: controller.create_network(request))
    speaker, hearer = (machine.run(name, "six") for name in ("speaker", "hearer"))
    me, other = Station.of(speaker), Station.of(hearer)
    everybody, nobody = ip_address("ff02::1").packed, bytes(16)
    question, answer = struct.pack(">BBHI", 135, 0, 0, 0), struct.pack(">BBHI", 136, 0, 0, 0)
    mine, asking = b"\x02\x01" + me.mac, b"\x01\x01" + me.mac
    ping = icmpv6(me.ipv6, other.ipv6, struct.pack(">BBHI", 128, 0, 0, 0) + bytes(32))
    pieces = in_pieces(ping, 16, ICMPV6)
    hidden = in_pieces(behind(ping, DESTINATION_OPTIONS, PADDING), 24, DESTINATION_OPTIONS)
    packets = {
        "question": icmpv6(me.ipv6, other.ipv6, question + other.ipv6),
        "with an option": icmpv6(me.link_local, other.ipv6, question + other.ipv6 + asking),
        "an address to come": icmpv6(nobody, everybody, question + me.ipv6),
        "an address to come, behind options": behind(
            icmpv6(nobody, everybody, question + me.link_local), HOP_BY_HOP, PADDING
        ),
        "answer": icmpv6(me.ipv6, other.ipv6, answer + me.ipv6),
        "answer with an option": icmpv6(me.ipv6, other.ipv6, answer + me.ipv6 + mine),
        "groups": icmpv6(nobody, everybody, struct.pack(">BBHI", 143, 0, 0, 0)),
        "first piece": pieces[0],
        "second piece": pieces[1],
        "piece that says ping": hidden[0],
        "piece that doesn't": hidden[1],
        "ping behind options": behind(ping, DESTINATION_OPTIONS, PADDING),
    }
    probe = arp(me.mac, bytes(4), Station(bytes(6), me.ipv4, b""))
    frames = {
        "ARP probe": ethernet(me.mac, other.mac, ARP, probe),
        **{what: ethernet(me.mac, other.mac, IPV6, packet) for what, packet in packets.items()},
        "honest": honest(me, other),
    }
    assert arrived(machine, speaker, frames) == list(frames)
