"""Published ports as requests and in the book."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.network.publishing.ports import (
    PortBinding,
    PortBook,
    PortRequest,
    host_addresses,
    parse_exposed,
    parse_host_ports,
)


def binding(address="0.0.0.0", port=80, protocol="tcp"):
    return PortBinding(container_port=1, protocol=protocol, host_ip=address, host_port=port)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", range(0)), ("0", range(0)), ("80", range(80, 81)), ("80-82", range(80, 83))],
)
def test_host_ports(text, expected):
    assert parse_host_ports(text) == expected


@pytest.mark.parametrize("text", ["65536", "-1", "a", "90-80", "80-", "8 0", "٨٠"])
def test_bad_host_ports(text):
    with pytest.raises(InvalidParameter):
        parse_host_ports(text)


def test_exposed():
    assert parse_exposed("80") == (80, "tcp")
    assert parse_exposed("53/UDP") == (53, "udp")
    with pytest.raises(InvalidParameter, match="invalid proto: icmp"):
        parse_exposed("1/icmp")


@pytest.mark.parametrize(
    ("host_ip", "default", "expected"),
    [
        ("", "0.0.0.0", ["0.0.0.0", "::"]),
        ("", "127.0.0.1", ["127.0.0.1"]),
        ("0.0.0.0", "127.0.0.1", ["0.0.0.0"]),
        ("::1", "0.0.0.0", ["::1"]),
    ],
)
def test_addresses_of_a_request(host_ip, default, expected):
    request = PortRequest(container_port=80, host_ip=host_ip)
    assert host_addresses(request, default, (4, 6)) == expected


def test_a_bad_address_is_refused():
    with pytest.raises(InvalidParameter, match="invalid IP address: nowhere"):
        host_addresses(PortRequest(container_port=1, host_ip="nowhere"), "", (4, 6))


@pytest.mark.parametrize(
    ("held", "asked", "taken"),
    [
        ("0.0.0.0", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "10.0.0.1", False),
        ("0.0.0.0", "::", False),
        ("::", "::1", True),
    ],
)
def test_who_has_a_port(held, asked, taken):
    book = PortBook()
    book.take(binding(held), "container web")
    assert (book.owner("tcp", asked, 80) == "container web") is taken
    assert book.owner("udp", asked, 80) is None
    book.release(binding(held))
    book.release(binding(held))
    assert book.owner("tcp", asked, 80) is None


def test_ephemeral_ports_go_round():
    book = PortBook(ephemeral=(100, 102))
    assert next(book.candidates(range(0))) == 100
    assert next(book.candidates(range(0))) == 101
    assert list(book.candidates(range(0))) == [102, 100, 101]
    assert list(book.candidates(range(7, 9))) == [7, 8]
