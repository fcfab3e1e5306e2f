"""Frames that a container forges, from a raw socket as CAP_NET_RAW has it: none gets through.

Each is sent before an honest one on the same wire: when that one has come, the other never will.
On a network that allows it every one of them arrives, so it is the rule that stops it.
"""

import struct
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
    ethernet,
    icmpv6,
    ipv4,
    ipv6,
    raw_socket,
    udp,
)
from support.machine import Container, Machine

UDP = 17
ANOTHERS_MAC = bytes.fromhex("020000000077")
ROUTER_ADVERTISEMENT = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)


def forged(me: Station, victim: Station) -> dict[str, bytes]:
    """Return the frames that pretend to be somebody else's."""
    anothers4, anothers6 = me.ipv4[:3] + b"\x01", me.ipv6[:-1] + b"\x77"
    link_local = ip_address("fe80::1").packed
    own = udp(1000, 1000)

    def by(kind: int, payload: bytes, mac: bytes = me.mac) -> bytes:
        return ethernet(mac, victim.mac, kind, payload)

    return {
        "Ethernet address": by(IPV4, ipv4(me.ipv4, victim.ipv4, own), ANOTHERS_MAC),
        "ARP: the gateway is at my address": by(ARP, arp(me.mac, anothers4, victim)),
        "ARP: my address is at another's": by(ARP, arp(ANOTHERS_MAC, me.ipv4, victim)),
        "IPv4 address": by(IPV4, ipv4(anothers4, victim.ipv4, own)),
        "DHCP answer": by(IPV4, ipv4(me.ipv4, victim.ipv4, udp(67, 68))),
        "IPv6 address": by(IPV6, ipv6(anothers6, victim.ipv6, UDP, own)),
        "router": by(IPV6, icmpv6(link_local, victim.ipv6, ROUTER_ADVERTISEMENT)),
    }


def arrived(machine: Machine, attacker: Container, frames: dict[str, bytes]) -> list[str]:
    """Let a container send frames; return which of them its neighbour saw until the last."""
    (victim,) = [c for c in machine.containers if c is not attacker]
    *_, last = frames
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
    assert ip_address("fe80::1").packed.hex() not in routes  # not even where the router is heard


@pytest.mark.parametrize("egress", ["none", ""])
def test_a_fenced_container_can_not_hide_behind_its_link_local_address(
    machine: Machine, egress: str
):
    controller = machine.start()
    request = NetworkRequest(name="six", enable_ipv6=True)
    machine.host.run(lambda: controller.create_network(request))
    attacker, victim = machine.run("attacker", "six", egress=egress), machine.run("victim", "six")
    me, other = Station.of(attacker), Station.of(victim)
    packet = ipv6(ip_address("fe80::2").packed, other.ipv6, UDP, udp(1000, 1000))
    hidden = ethernet(me.mac, other.mac, IPV6, packet)
    seen = arrived(machine, attacker, {"hidden": hidden, "honest": honest(me, other)})
    assert seen == (["honest"] if egress else ["hidden", "honest"])
