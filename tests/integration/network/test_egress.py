"""Egress policies: what gets out, what does not, and how the refusals are told."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from dnslib import QTYPE, RR, A, DNSRecord

from cutaway.errors import InvalidParameter
from cutaway.network import EndpointRequest, NetworkRequest
from cutaway.network.firewall.refusals import Refusal
from support.machine import HOST_ADDRESS, NEIGHBOUR_ADDRESS, Container, Machine
from support.waiting import eventually

INTERNET = "203.0.113.7"
OTHER = "203.0.113.8"


@pytest.fixture
def out(machine: Machine, tmp_path: Path) -> Iterator[Machine]:
    """A machine whose neighbour is the way to the internet, with a name server."""
    machine.neighbour.add_address("lan0", f"{INTERNET}/32", f"{OTHER}/32")
    machine.host.add_route("default", NEIGHBOUR_ADDRESS)
    zone = {"good.test": INTERNET, "www.good.test": INTERNET, "evil.test": OTHER}
    stop = serve_zone(machine, zone)
    servers = [machine.neighbour.listen("0.0.0.0", port) for port in (80, 443)]
    machine.start(dns=(NEIGHBOUR_ADDRESS,))
    yield machine
    stop()
    for server in servers:
        server.close()


def serve_zone(machine: Machine, zone: dict[str, str]) -> Callable[[], None]:
    server = machine.neighbour.open(socket.SOCK_DGRAM)
    server.settimeout(None)
    server.bind((NEIGHBOUR_ADDRESS, 53))

    def serve() -> None:
        while True:
            data, peer = server.recvfrom(4096)
            if data == b"stop":
                return
            query = DNSRecord.parse(data)
            reply = query.reply()
            address = zone.get(str(query.q.qname).rstrip(".").lower())
            if address and query.q.qtype == QTYPE.A:
                reply.add_answer(RR(query.q.qname, QTYPE.A, ttl=1, rdata=A(address)))
            server.sendto(reply.pack(), peer)

    thread = threading.Thread(target=serve)
    thread.start()

    def stop() -> None:
        with machine.neighbour.open(socket.SOCK_DGRAM) as client:
            client.sendto(b"stop", (NEIGHBOUR_ADDRESS, 53))
        thread.join()
        server.close()

    return stop


def look_up(container: Container, name: str) -> tuple[str, list[str]]:
    """Ask the container's name server; return the code and the addresses."""
    with container.namespace.open(socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(DNSRecord.question(name).pack(), ("127.0.0.11", 53))
        reply = DNSRecord.parse(client.recv(4096))
    codes = {0: "NOERROR", 2: "SERVFAIL", 5: "REFUSED"}
    return codes[reply.header.rcode], [str(r.rdata) for r in reply.rr]


def denied(machine: Machine, container: Container) -> list[Refusal]:
    return machine.host.run(lambda: machine.controller.denied(container.sandbox.id))


def test_none_reaches_its_neighbours_and_nothing_else(out: Machine):
    caged, other = out.run("caged", "bridge", egress="none"), out.run("other", "bridge")
    with other.namespace.listen("0.0.0.0", 80), out.host.listen("0.0.0.0", 8000):
        assert caged.namespace.reaches(other.address, 80)
        assert not caged.namespace.reaches(INTERNET, 443)
        assert not caged.namespace.reaches(NEIGHBOUR_ADDRESS, 80)
        assert not caged.namespace.reaches("172.17.0.1", 8000)  # the host itself
        assert not caged.namespace.reaches(HOST_ADDRESS, 8000)
        assert other.namespace.reaches("172.17.0.1", 8000)
        assert other.namespace.reaches(INTERNET, 443)
    assert look_up(caged, "good.test") == ("REFUSED", [])
    refused = {(r.name, r.address, r.protocol, r.port) for r in denied(out, caged)}
    assert refused == {
        ("", INTERNET, "tcp", 443),
        ("", NEIGHBOUR_ADDRESS, "tcp", 80),
        ("", "172.17.0.1", "tcp", 8000),
        ("", HOST_ADDRESS, "tcp", 8000),
        ("good.test", "", "dns", 0),
    }


def test_a_policy_on_the_default_network_leaves_nothing(out: Machine):
    """It has a name server, as on a user's network; that holds the namespace while it serves."""
    caged = out.run("caged", "bridge", egress="none")
    pid = out.controller._services.client.pid
    namespace = os.readlink(f"/proc/self/fd/{caged.namespace.fd}")

    def held() -> set[str]:
        found = set()
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                found.add(os.readlink(entry))
        return found

    eventually(lambda: namespace in held())
    out.end(caged)
    eventually(lambda: namespace not in held())


def test_a_refusal_is_told_at_once(out: Machine):
    caged = out.run("caged", "bridge", egress="none")
    with caged.namespace.open() as client:
        client.setblocking(True)
        with pytest.raises(ConnectionRefusedError):  # ICMP would be heard by the second try only
            client.connect((INTERNET, 443))
    with caged.namespace.open(socket.SOCK_DGRAM) as client:
        client.connect((INTERNET, 443))
        client.send(b"hello")
        with pytest.raises(OSError, match="No route to host"):
            client.recv(9)


def test_lan_reaches_private_addresses_only(out: Machine):
    fenced = out.run("fenced", "bridge", egress="lan")
    assert fenced.namespace.reaches(NEIGHBOUR_ADDRESS, 80)
    assert not fenced.namespace.reaches(INTERNET, 443)
    assert look_up(fenced, "evil.test") == ("NOERROR", [OTHER])
    assert not fenced.namespace.reaches(OTHER, 80)
    assert ("evil.test", 80) in {(r.name, r.port) for r in denied(out, fenced)}


def test_allow_opens_a_name_when_it_is_asked_for(out: Machine):
    fenced = out.run("fenced", "bridge", egress="allow=good.test:443,*.good.test:80")
    assert not fenced.namespace.reaches(INTERNET, 443)  # nobody asked for its name yet
    assert look_up(fenced, "GOOD.test") == ("NOERROR", [INTERNET])
    assert fenced.namespace.reaches(INTERNET, 443)
    assert not fenced.namespace.reaches(INTERNET, 80)
    assert look_up(fenced, "www.good.test") == ("NOERROR", [INTERNET])
    assert fenced.namespace.reaches(INTERNET, 80)
    assert look_up(fenced, "evil.test") == ("REFUSED", [])
    assert not fenced.namespace.reaches(OTHER, 443)
    told = {(r.name, r.address, r.port) for r in denied(out, fenced)}
    assert {("evil.test", "", 0), ("", OTHER, 443), ("www.good.test", INTERNET, 80)} <= told
    assert not out.run("plain", "bridge").namespace.reaches("203.0.113.9", 80)


def test_what_was_opened_outlives_the_engine_and_a_flush(out: Machine):
    fenced = out.run("fenced", "bridge", egress="allow=good.test:443")
    look_up(fenced, "good.test")
    fenced.namespace.reaches(OTHER, 443)
    controller = out.start({fenced.sandbox.id: fenced.namespace.fd}, dns=(NEIGHBOUR_ADDRESS,))
    assert fenced.namespace.reaches(INTERNET, 443)
    assert [r.address for r in denied(out, fenced)] == [OTHER]
    out.host.nft("flush ruleset")
    out.host.run(controller.check_firewall)
    look_up(fenced, "good.test")  # the process has read what it was told before
    assert fenced.namespace.reaches(INTERNET, 443)
    assert not fenced.namespace.reaches(OTHER, 443)


def test_what_was_opened_ends_with_the_address_that_it_was_opened_for(out: Machine):
    """Else the next container that gets the address is let out, whatever its policy says."""

    def opened() -> str:
        return out.host.nft("list set inet cutaway named4")

    for name in ("first", "second"):
        request = NetworkRequest(name=name)
        out.host.run(lambda request=request: out.controller.create_network(request))
    fenced = out.run("fenced", "first", egress="allow=good.test:443/tcp")
    fd = fenced.namespace.fd
    wish = EndpointRequest(network="second")
    out.host.run(lambda: out.controller.connect(fenced.sandbox.id, wish, fd))
    look_up(fenced, "good.test")
    assert fenced.address in opened()
    assert opened().count(INTERNET) == 2
    out.host.run(lambda: out.controller.disconnect(fenced.sandbox.id, "first", fd))
    eventually(lambda: fenced.address not in opened())
    assert opened().count(INTERNET) == 1
    assert fenced.namespace.reaches(INTERNET, 443)
    out.end(fenced)
    eventually(lambda: INTERNET not in opened())


@pytest.mark.parametrize(
    "listed",
    [
        f"{NEIGHBOUR_ADDRESS}/24:80,{NEIGHBOUR_ADDRESS}:80",
        f"{NEIGHBOUR_ADDRESS}:80,{NEIGHBOUR_ADDRESS}:80-81",
        f"{NEIGHBOUR_ADDRESS}:1-80,{NEIGHBOUR_ADDRESS}/24:50-90,{NEIGHBOUR_ADDRESS}",
    ],
)
def test_entries_of_a_list_may_overlap(out: Machine, listed: str):
    fenced = out.run("fenced", "bridge", egress=f"allow={listed}")
    assert fenced.namespace.reaches(NEIGHBOUR_ADDRESS, 80)
    assert not fenced.namespace.reaches(INTERNET, 443)


def test_an_address_of_the_list_stays_when_it_is_also_an_answer(out: Machine):
    """A name's elements end; what the list says by address does not end with them."""
    fenced = out.run("fenced", "bridge", egress=f"allow={INTERNET}:443,good.test:443")
    look_up(fenced, "good.test")
    look_up(fenced, "good.test")
    lines = out.host.nft("list set inet cutaway allowed4").splitlines()
    assert [x for x in lines if f"{fenced.address} . {INTERNET}" in x and "expires" not in x]


def test_addresses_and_tcp_questions(out: Machine):
    policy = f"allow={NEIGHBOUR_ADDRESS}/32:80-81,good.test:443/tcp"
    fenced = out.run("fenced", "bridge", egress=policy)
    assert fenced.namespace.reaches(NEIGHBOUR_ADDRESS, 80)
    assert not fenced.namespace.reaches(NEIGHBOUR_ADDRESS, 443)
    with fenced.namespace.open() as client:
        client.settimeout(5)
        client.connect(("127.0.0.11", 53))
        for name, code in (("good.test", 0), ("evil.test", 5)):
            query = DNSRecord.question(name).pack()
            client.sendall(len(query).to_bytes(2, "big") + query)
            length = int.from_bytes(client.recv(2), "big")
            assert DNSRecord.parse(client.recv(length)).header.rcode == code
    assert fenced.namespace.reaches(INTERNET, 443)


def test_a_networks_policy_holds_for_all_on_it_and_a_containers_own_wins(out: Machine):
    options = {"com.cutaway.network.egress": "none"}
    request = NetworkRequest(name="quiet", options=options, enable_ipv6=True)
    out.host.run(lambda: out.controller.create_network(request))
    one, two = out.run("one", "quiet"), out.run("two", "quiet", egress="lan")
    assert not one.namespace.reaches(NEIGHBOUR_ADDRESS, 80)
    assert not one.namespace.reaches("fd99::2", 80)
    assert two.namespace.reaches(NEIGHBOUR_ADDRESS, 80)
    with two.namespace.listen("0.0.0.0", 5000):
        assert one.namespace.reaches(two.address, 5000)
        assert look_up(one, "two") == ("NOERROR", [two.address])


def test_another_address_does_not_get_out_either(out: Machine):
    """The attack on a fence that goes by addresses: to take one that is not fenced."""
    options = {"com.cutaway.network.bridge.anti_spoofing": "false"}
    out.host.run(lambda: out.controller.create_network(NetworkRequest(name="n", options=options)))
    fenced = out.run("fenced", "n", egress="none")
    subnet = fenced.address.rpartition(".")[0]
    fenced.namespace.add_address("eth0", f"{subnet}.77/16")
    with fenced.namespace.open() as client:
        client.bind((f"{subnet}.77", 0))
        client.settimeout(0.6)
        with pytest.raises(TimeoutError):
            client.connect((INTERNET, 443))


@pytest.mark.parametrize(
    "text", ["lann", "allow", "allow=", "allow=a b", "allow=x:99999", "allow=x:1/icmp"]
)
def test_what_is_no_policy_is_refused(machine: Machine, text: str):
    machine.start()
    with pytest.raises(InvalidParameter, match="egress"):
        machine.run("x", "bridge", egress=text)


def test_policies_need_a_bridge(machine: Machine):
    controller = machine.start()
    options = {"parent": "lan0", "com.cutaway.network.egress": "none"}
    request = NetworkRequest(name="wire", driver="macvlan", options=options)
    with pytest.raises(InvalidParameter, match="need a bridge network"):
        machine.host.run(lambda: controller.create_network(request))
