"""Egress policies as values."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from cutaway.network.egress import Allowance, parse_egress, without_overlaps

SUBNETS = ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "192.168.0.0/16")
ADDRESSES = ("8.8.8.8", "10.9.9.9", "10.1.9.9", "10.1.2.3", "192.168.1.1")
PORTS = range(8)


def test_a_list_says_names_and_subnets_apart() -> None:
    policy = parse_egress("allow=10.0.0.0/8:443/tcp,*.example.org,[2001:db8::]/32:80-81")
    assert policy.names == (Allowance("*.example.org", ("tcp", "udp"), "0-65535"),)
    assert policy.subnets == (
        Allowance("10.0.0.0/8", ("tcp",), "443"),
        Allowance("2001:db8::/32", ("tcp", "udp"), "80-81"),
    )


def test_a_subnet_keeps_the_ports_that_no_larger_one_has() -> None:
    policy = parse_egress("allow=10.1.0.0/16:1-100/tcp,10.0.0.0/8:50/tcp,10.1.0.0/16:99-101/udp")
    assert without_overlaps(policy.subnets) == [
        ("10.0.0.0/8", "tcp", "50"),
        ("10.1.0.0/16", "tcp", "1-49"),
        ("10.1.0.0/16", "tcp", "51-100"),
        ("10.1.0.0/16", "udp", "99-101"),
    ]


def covers(subnet: str, ports: str, address: str, port: int) -> bool:
    first, _, last = ports.partition("-")
    return ip_address(address) in ip_network(subnet) and int(first) <= port <= int(last or first)


PORT = st.sampled_from(PORTS)


@given(st.lists(st.tuples(st.sampled_from(SUBNETS), PORT, PORT)))
def test_the_same_is_allowed_and_no_two_overlap(chosen: list[tuple[str, int, int]]) -> None:
    ranges = [(subnet, f"{min(a, b)}-{max(a, b)}") for subnet, a, b in chosen]
    found = without_overlaps(Allowance(subnet, ("tcp",), ports) for subnet, ports in ranges)
    for address in ADDRESSES:
        for port in PORTS:
            wanted = any(covers(*one, address, port) for one in ranges)
            assert [covers(s, p, address, port) for s, _, p in found].count(True) == wanted
