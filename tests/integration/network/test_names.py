"""Names: each sandbox's server at 127.0.0.11, on the real kernel."""

import ipaddress
import os
import signal
import socket
import struct
import threading
from contextlib import suppress

import pytest
from dnslib import EDNS0, RCODE, RR, DNSRecord

from cutaway.network import EndpointRequest, IpamConfig, NetworkRequest
from support.machine import HOST_ADDRESS, NEIGHBOUR_ADDRESS, Machine
from support.netns import Namespace
from support.waiting import eventually


def ask(
    namespace: Namespace, name: str, kind: str = "A", *, tcp=False, edns=0, identifier=0
) -> DNSRecord:
    query = DNSRecord.question(name, kind)
    query.header.id = identifier or query.header.id
    if edns:
        query.add_ar(EDNS0(udp_len=edns))
    if tcp:
        with namespace.open() as client:
            client.connect(("127.0.0.11", 53))
            data = query.pack()
            client.sendall(struct.pack(">H", len(data)) + data)
            (length,) = struct.unpack(">H", client.recv(2))
            answer = DNSRecord.parse(client.recv(length))
    else:
        with namespace.open(socket.SOCK_DGRAM) as client:
            client.settimeout(6)
            client.connect(("127.0.0.11", 53))
            client.send(query.pack())
            answer = DNSRecord.parse(client.recv(4096))
    assert answer.header.id == query.header.id
    return answer


def addresses(answer: DNSRecord) -> set[str]:
    return {str(record.rdata) for record in answer.rr}


@pytest.fixture
def back(machine: Machine) -> Machine:
    controller = machine.start()
    machine.host.run(lambda: controller.create_network(NetworkRequest(name="back")))
    return machine


class Upstream:
    """A name server that knows ``example.org`` only, and counts."""

    def __init__(self, namespace: Namespace, address: str) -> None:
        self.asked: list[tuple[str, str]] = []
        self.udp = namespace.open(socket.SOCK_DGRAM)
        self.udp.settimeout(None)
        self.udp.bind((address, 53))
        self.tcp = namespace.listen(address, 53)
        self.tcp.settimeout(None)
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def answer(self, data: bytes, peer: str) -> bytes:
        query = DNSRecord.parse(data)
        name = str(query.q.qname)
        self.asked.append((name, peer))
        reply = query.reply()
        if name == "example.org.":
            reply.add_answer(*_rr("example.org. 60 A 192.0.2.7"))
        else:
            reply.header.rcode = RCODE.NXDOMAIN
        return bytes(reply.pack())

    def _serve_udp(self) -> None:
        while True:
            try:
                data, peer = self.udp.recvfrom(4096)
                if not data:
                    return  # shut down
                self.udp.sendto(self.answer(data, peer[0]), peer)
            except OSError:
                return

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, peer = self.tcp.accept()
            except OSError:
                return
            with connection:
                (length,) = struct.unpack(">H", connection.recv(2))
                reply = self.answer(connection.recv(length), peer[0])
                connection.sendall(struct.pack(">H", len(reply)) + reply)

    def close(self) -> None:
        for one in (self.udp, self.tcp):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _rr(text: str):
    return RR.fromZone(text)


@pytest.fixture
def upstream(machine: Machine):
    made = Upstream(machine.neighbour, NEIGHBOUR_ADDRESS)
    yield made
    made.close()


def test_names_ids_aliases_and_full_names(back: Machine):
    db = back.run("db", EndpointRequest(network="back", aliases=("postgres", "sql")))
    web = back.run("web", "back")
    for name in ("db", "DB", "postgres", "sql", db.sandbox.id[:12], "db.back", "sql.back"):
        assert addresses(ask(web.namespace, name)) == {db.address}, name
    assert addresses(ask(web.namespace, "web")) == {web.address}
    assert addresses(ask(web.namespace, "db", tcp=True)) == {db.address}


def test_the_name_server_leaves_port_53_to_the_container(back: Machine):
    web = back.run("web", "back")
    with web.namespace.listen("0.0.0.0", 53), web.namespace.open(socket.SOCK_DGRAM) as own:
        own.bind(("0.0.0.0", 53))
        assert addresses(ask(web.namespace, "web")) == {web.address}
        assert addresses(ask(web.namespace, "web", tcp=True)) == {web.address}


def test_resolv_conf_names_it(back: Machine):
    web = back.run("web", "back")
    files = back.controller.etc_files(web.sandbox.id)
    assert "nameserver 127.0.0.11" in files.resolv_conf
    assert "options ndots:0" in files.resolv_conf


def test_an_alias_of_several_is_shared(back: Machine):
    both = [
        back.run(f"w{i}", EndpointRequest(network="back", aliases=("worker",))) for i in range(2)
    ]
    web = back.run("web", "back")
    seen = [str(ask(web.namespace, "worker").rr[0].rdata) for _ in range(40)]
    assert set(seen) == {b.address for b in both}


def test_who_has_an_address(back: Machine):
    db, web = back.run("db", "back"), back.run("web", "back")
    name = ".".join(reversed(db.address.split("."))) + ".in-addr.arpa"
    assert [str(r.rdata) for r in ask(web.namespace, name, "PTR").rr] == ["db.back."]


def test_a_name_without_the_address_asked_for_is_no_error(back: Machine):
    web = back.run("web", "back")
    for kind in ("AAAA", "MX"):
        answer = ask(web.namespace, "web", kind)
        assert (answer.header.rcode, answer.rr) == (RCODE.NOERROR, [])


def test_names_of_other_networks_are_unknown(back: Machine):
    controller = back.controller
    back.host.run(lambda: controller.create_network(NetworkRequest(name="front", internal=True)))
    back.run("db", "back")
    web = back.run("web", "front")
    assert ask(web.namespace, "db").header.rcode == RCODE.SERVFAIL


def test_an_internal_network_never_asks_outside(back: Machine, upstream: Upstream):
    controller = back.controller
    back.host.run(lambda: controller.create_network(NetworkRequest(name="inner", internal=True)))
    web = back.run("web", "inner", dns=(NEIGHBOUR_ADDRESS,))
    assert ask(web.namespace, "example.org").header.rcode == RCODE.SERVFAIL
    assert upstream.asked == []


def test_everything_else_is_asked_from_the_containers_network(back: Machine, upstream: Upstream):
    web = back.run("web", "back", dns=(NEIGHBOUR_ADDRESS,))
    assert addresses(ask(web.namespace, "example.org")) == {"192.0.2.7"}
    assert addresses(ask(web.namespace, "example.org", tcp=True)) == {"192.0.2.7"}
    assert ask(web.namespace, "nobody.example").header.rcode == RCODE.NXDOMAIN
    assert {peer for _, peer in upstream.asked} == {HOST_ADDRESS}  # masqueraded


def test_a_dead_server_is_passed_over(back: Machine, upstream: Upstream):
    web = back.run("web", "back", dns=("10.99.0.1", NEIGHBOUR_ADDRESS))
    assert addresses(ask(web.namespace, "example.org")) == {"192.0.2.7"}


class Liar(Upstream):
    """Puts two forged answers before each true one: another's id, and another question's."""

    def __init__(self, namespace: Namespace, address: str) -> None:
        self.ids: set[int] = set()
        self.ports: set[int] = set()
        super().__init__(namespace, address)

    def _serve_udp(self) -> None:
        with suppress(OSError):
            while data := (received := self.udp.recvfrom(4096))[0]:
                peer = received[1]
                true = DNSRecord.parse(self.answer(data, peer[0]))
                self.ids.add(true.header.id)
                self.ports.add(peer[1])
                for header_id, name in (
                    (true.header.id ^ 1, "example.org"),
                    (true.header.id, "example.com"),
                ):
                    forged = DNSRecord.question(name).reply()
                    forged.header.id = header_id
                    forged.add_answer(*_rr(f"{name}. 60 A 198.51.100.66"))
                    self.udp.sendto(forged.pack(), peer)
                self.udp.sendto(true.pack(), peer)


def test_forged_answers_are_passed_over_and_hard_to_forge(back: Machine):
    liar = Liar(back.neighbour, NEIGHBOUR_ADDRESS)
    web = back.run("web", "back", dns=(NEIGHBOUR_ADDRESS,))
    for _ in range(8):
        assert addresses(ask(web.namespace, "example.org", identifier=7)) == {"192.0.2.7"}
    assert len(liar.ids) > 4
    assert len(liar.ports) > 4
    liar.close()


class LargeAnswers(Upstream):
    """Answers with 40 addresses, by UDP too."""

    def answer(self, data: bytes, peer: str) -> bytes:
        reply = DNSRecord.parse(data).reply()
        for number in range(40):
            reply.add_answer(*_rr(f"example.org. 60 A 192.0.2.{number}"))
        return bytes(reply.pack())


def test_a_large_answer_is_cut_to_what_the_asker_takes(back: Machine):
    server = LargeAnswers(back.neighbour, NEIGHBOUR_ADDRESS)
    web = back.run("web", "back", dns=(NEIGHBOUR_ADDRESS,))
    plain = ask(web.namespace, "example.org")
    assert (plain.header.tc, plain.rr) == (1, [])
    assert len(ask(web.namespace, "example.org", tcp=True).rr) == 40
    assert len(ask(web.namespace, "example.org", edns=4096).rr) == 40
    server.close()


def test_a_container_with_an_ipv6_address_only(back: Machine):
    controller = back.controller
    request = NetworkRequest(
        name="six", enable_ipv4=False, enable_ipv6=True, ipam=(IpamConfig(subnet="fd00:6::/64"),)
    )
    back.host.run(lambda: controller.create_network(request))
    back.run("db", "six")
    web = back.run("web", "six")
    assert addresses(ask(web.namespace, "db", "AAAA")) == {"fd00:6::2"}
    for kind in ("A", "MX"):
        answer = ask(web.namespace, "db", kind)
        assert (answer.header.rcode, answer.rr) == (RCODE.NOERROR, [])
    pointer = ipaddress.ip_address("fd00:6::2").reverse_pointer
    assert [str(r.rdata) for r in ask(web.namespace, pointer, "PTR").rr] == ["db.six."]


def test_a_server_on_the_hosts_loopback_is_asked_by_the_host(back: Machine):
    server = Upstream(back.host, "127.0.0.53")
    web = back.run("web", "back", dns=("127.0.0.53",))
    assert addresses(ask(web.namespace, "example.org")) == {"192.0.2.7"}
    server.close()


def test_links_are_names_of_ones_own(back: Machine):
    db = back.run("db", "back")
    web = back.run("web", EndpointRequest(network="back", links=("db:database",)))
    other = back.run("other", "back", dns=("127.0.0.9",))
    assert addresses(ask(web.namespace, "database")) == {db.address}
    assert ask(other.namespace, "database").header.rcode == RCODE.SERVFAIL


def test_connect_disconnect_rename_and_end(back: Machine):
    controller = back.controller
    web, db = back.run("web", "back", dns=("127.0.0.9",)), back.run("db")
    assert ask(web.namespace, "db").header.rcode == RCODE.SERVFAIL
    wanted = EndpointRequest(network="back", aliases=("sql",))
    endpoint = back.host.run(lambda: controller.connect(db.sandbox.id, wanted, db.namespace.fd))
    assert addresses(ask(web.namespace, "sql")) == {endpoint.address}
    assert addresses(ask(db.namespace, "web")) == {web.address}  # it has a server now
    back.host.run(lambda: controller.rename(db.sandbox.id, "database"))
    assert addresses(ask(web.namespace, "database")) == {endpoint.address}
    assert ask(web.namespace, "db").header.rcode in (RCODE.SERVFAIL, RCODE.NOERROR)
    back.host.run(lambda: controller.disconnect(db.sandbox.id, "back", db.namespace.fd))
    assert ask(web.namespace, "database").header.rcode == RCODE.SERVFAIL
    assert "cutaway" not in db.namespace.nft("list tables")
    back.host.run(lambda: controller.connect(db.sandbox.id, wanted, db.namespace.fd))
    assert addresses(ask(db.namespace, "web")) == {web.address}
    again = back.run("again", "back")
    assert addresses(ask(web.namespace, "again")) == {again.address}
    back.end(again)
    assert ask(web.namespace, "again").header.rcode == RCODE.SERVFAIL


def test_names_resolve_while_the_engine_is_down_and_after(back: Machine):
    db, web = back.run("db", "back"), back.run("web", "back")
    back.controller.close()
    assert addresses(ask(web.namespace, "db")) == {db.address}
    back.start({c.sandbox.id: c.namespace.fd for c in (db, web)})
    new = back.run("new", "back")
    assert addresses(ask(web.namespace, "new")) == {new.address}
    assert addresses(ask(new.namespace, "db")) == {db.address}


def test_a_process_that_was_killed_is_replaced_and_told_everything(back: Machine):
    controller = back.controller
    db, web = back.run("db", "back"), back.run("web", "back")
    os.kill(controller._services.client.pid, signal.SIGKILL)
    eventually(lambda: not controller._services.client.is_alive())
    back.host.run(controller.check_firewall)
    assert addresses(ask(web.namespace, "db")) == {db.address}
    assert addresses(ask(db.namespace, "web", tcp=True)) == {web.address}


def test_malformed_packets_are_harmless(back: Machine):
    web = back.run("web", "back")
    with web.namespace.open(socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.11", 53))
        for data in (b"", b"x", os.urandom(11), os.urandom(200), b"\0" * 12, b"\xff" * 600):
            client.send(data)
        loop = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + b"\xc0\x0c" + b"\0\1\0\1"
        client.send(loop)
        client.send(loop[:12] + b"\x3f" * 200)
    assert addresses(ask(web.namespace, "web")) == {web.address}


def test_a_sandbox_that_ended_frees_its_namespace(back: Machine):
    web = back.run("web", "back")
    inode = os.fstat(web.namespace.fd).st_ino
    pid = back.controller._services.client.pid
    back.end(web)

    def held() -> bool:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(f"/proc/{pid}/fd/{name}") == f"net:[{inode}]":
                    return True
            except OSError:
                continue
        return False

    eventually(lambda: not held())


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_one_core_answers_five_thousand_a_second(back: Machine):
    """Counted in CPU time, which says the same on an idle machine and on a busy one."""
    db, web = back.run("db", "back"), back.run("web", "back")
    assert addresses(ask(web.namespace, "db")) == {db.address}
    query, count, at_once = DNSRecord.question("db").pack(), 6000, 20
    begun = cpu_seconds(back.controller._services.client.pid)
    with web.namespace.open(socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("127.0.0.11", 53))
        for _ in range(count // at_once):
            for _ in range(at_once):
                client.send(query)
            for _ in range(at_once):
                client.recv(512)
    used = cpu_seconds(back.controller._services.client.pid) - begun
    assert count / used > 5000


def test_200_containers_resolve_one_another(back: Machine):
    containers = [back.run(f"c{i}", "back") for i in range(200)]
    for number, asked in enumerate(containers):
        asker = containers[number - 1]
        assert addresses(ask(asker.namespace, f"c{number}")) == {asked.address}
