"""Beside the firewalls of others: what gets through is told truly, and what they have stays theirs.

Each case compares what ``reach`` and ``doctor`` say with what packets do.
"""

import shutil
import subprocess

import pytest

from cutaway.errors import NotFound
from cutaway.network import NetworkRequest, PortRequest
from cutaway.network.firewall.diagnosis import Finding
from cutaway.network.firewall.reaching import Reach
from support import foreign
from support.machine import HOST_ADDRESS, NEIGHBOUR_ADDRESS, Container, Machine
from support.waiting import eventually


@pytest.fixture
def web(machine: Machine) -> Container:
    """A container that publishes port 80 as 8080 by translation, and as 8081 by a listener."""
    machine.host.add_route("default", NEIGHBOUR_ADDRESS)
    machine.start()
    ports = [(8080, "dnat"), (8081, "host")]
    requests = tuple(
        PortRequest(container_port=80, host_port=str(port), host_ip="0.0.0.0", mode=mode)
        for port, mode in ports
    )
    return machine.run("web", "bridge", ports=requests)


def reach(machine: Machine, port: int) -> list[Reach]:
    return machine.host.run(lambda: machine.controller.reach(port, "tcp"))


def from_lan(machine: Machine, port: int) -> Reach:
    (one,) = [r for r in reach(machine, port) if r.client.startswith("other hosts by lan0")]
    return one


def problems(machine: Machine) -> list[Finding]:
    return [f for f in machine.host.run(machine.controller.diagnose) if f.problem]


def way_out_works(machine: Machine, web: Container) -> bool:
    with machine.neighbour.listen("0.0.0.0", 9000):
        return web.namespace.reaches(NEIGHBOUR_ADDRESS, 9000)


def ufw(machine: Machine) -> None:
    program = shutil.which("iptables-nft-restore")
    assert program is not None
    machine.host.run(
        lambda: subprocess.run([program], input=foreign.UFW, text=True, check=True, timeout=20)
    )


def test_without_others_all_is_well(machine: Machine, web: Container):
    assert problems(machine) == []
    with web.namespace.listen("0.0.0.0", 80):
        for port, decided in ((8080, "anyports4 { tcp . 8080 }"), (8081, "the listener")):
            assert {r.verdict for r in reach(machine, port)} == {"yes"}
            assert from_lan(machine, port).decided_by.startswith(decided)
            assert from_lan(machine, port).leads_to == "web 172.17.0.2:80"
            assert machine.neighbour.reaches(HOST_ADDRESS, port)


def test_a_foreign_policy_that_drops_is_named(machine: Machine, web: Container):
    machine.host.nft(foreign.DROPS_ALL)
    with web.namespace.listen("0.0.0.0", 80):
        assert not machine.neighbour.reaches(HOST_ADDRESS, 8080)
        assert machine.neighbour.reaches(HOST_ADDRESS, 8081)
    assert from_lan(machine, 8080).verdict == "no"
    assert from_lan(machine, 8080).decided_by == "table inet mine, chain forward, policy drop"
    assert from_lan(machine, 8081).verdict == "yes"
    named = {f.subject: f.problem for f in problems(machine)}
    assert named == {
        "way out of network bridge by lan0 (IPv4)":
            "table inet mine, chain forward, policy drop drops it",
        f"port 8080/tcp of web by {HOST_ADDRESS}":
            "table inet mine, chain forward, policy drop drops it",
    }  # fmt: skip
    assert not way_out_works(machine, web)
    machine.host.nft("add element inet mine friends { 10.99.0.0/26 }")
    assert from_lan(machine, 8080).verdict == "yes"
    with web.namespace.listen("0.0.0.0", 80):
        assert machine.neighbour.reaches(HOST_ADDRESS, 8080)


def test_firewalld_lets_translated_ports_in_and_containers_not_out(
    machine: Machine, web: Container
):
    machine.host.nft(foreign.FIREWALLD)
    with web.namespace.listen("0.0.0.0", 80):
        for port, is_open in ((8080, True), (8081, False)):
            assert machine.neighbour.reaches(HOST_ADDRESS, port) is is_open
            assert from_lan(machine, port).verdict == ("yes" if is_open else "no")
    assert "chain filter_IN_public, rule handle" in from_lan(machine, 8081).decided_by
    assert not way_out_works(machine, web)
    (out,) = [f for f in problems(machine) if f.subject.startswith("way out of network bridge")]
    assert "table inet firewalld, chain filter_FORWARD, rule handle" in out.problem
    assert "accept what comes in or goes out by cutaway0" in out.advice
    machine.host.nft(foreign.FIREWALLD_TRUSTS_BRIDGES)
    assert way_out_works(machine, web)
    assert not [f for f in problems(machine) if f.subject.startswith("way out")]


def test_a_reload_of_firewalld_leaves_our_rules(machine: Machine, web: Container):
    """CVE-2025-54388: after a reload a port published on loopback was open to the LAN."""
    machine.host.nft(foreign.FIREWALLD)
    machine.host.nft("flush table inet firewalld; delete table inet firewalld" + foreign.FIREWALLD)
    assert not machine.host.run(machine.controller.check_firewall)
    with web.namespace.listen("0.0.0.0", 80):
        assert machine.neighbour.reaches(HOST_ADDRESS, 8080)
    machine.neighbour.add_route("172.17.0.0/16", HOST_ADDRESS)
    with web.namespace.listen("0.0.0.0", 81):
        assert not machine.neighbour.reaches(web.address, 81)


def test_ufw_is_obeyed_by_listeners_and_named_for_what_it_stops(machine: Machine, web: Container):
    ufw(machine)
    with web.namespace.listen("0.0.0.0", 80):
        for port in (8080, 8081):
            assert not machine.neighbour.reaches(HOST_ADDRESS, port)
            assert from_lan(machine, port).verdict == "no"
    assert from_lan(machine, 8080).decided_by == "table ip filter, chain FORWARD, policy drop"
    assert from_lan(machine, 8081).decided_by == "table ip filter, chain INPUT, policy drop"
    assert not way_out_works(machine, web)
    named = {f.subject.split(" by ")[0] for f in problems(machine)}
    assert "way out of network bridge" in named
    allow = ["iptables-nft", "-I", "ufw-user-input", "-p", "tcp", "--dport", "8081", "-j", "ACCEPT"]
    machine.host.run(lambda: subprocess.run(allow, check=True, timeout=20))
    assert from_lan(machine, 8081).verdict == "yes"
    with web.namespace.listen("0.0.0.0", 80):
        assert machine.neighbour.reaches(HOST_ADDRESS, 8081)


def test_foreign_tables_are_never_touched(machine: Machine, web: Container):
    machine.host.nft(foreign.DROPS_ALL + foreign.FIREWALLD)
    before = [machine.host.nft(f"list table inet {name}") for name in ("mine", "firewalld")]
    controller = machine.start({web.sandbox.id: web.namespace.fd})
    other = machine.run("other", "bridge", ports=(PortRequest(container_port=80),))
    machine.end(other)
    machine.host.nft("delete table inet cutaway")
    assert machine.host.run(controller.check_firewall)
    assert [machine.host.nft(f"list table inet {n}") for n in ("mine", "firewalld")] == before


@pytest.mark.parametrize(
    "damage",
    [
        "flush ruleset",
        "delete table bridge cutaway",
        "flush chain inet cutaway guard",
        "flush set inet cutaway bridges",
        "flush map inet cutaway anyports4",
        "delete element bridge cutaway allotted { LINK }",
    ],
)
def test_every_damage_is_found_and_repaired(machine: Machine, web: Container, damage: str):
    link = web.sandbox.endpoints[0].host_interface
    machine.host.nft(damage.replace("LINK", link))
    assert "firewall tables" in {f.subject for f in problems(machine)}
    assert machine.host.run(machine.controller.check_firewall)
    assert problems(machine) == []
    assert not machine.host.run(machine.controller.check_firewall)
    with web.namespace.listen("0.0.0.0", 80):
        assert machine.neighbour.reaches(HOST_ADDRESS, 8080)


def test_a_rule_set_that_was_saved_and_restored_is_the_same(machine: Machine, web: Container):
    """As nftables.service does it: what ``nft`` lists must be what it reads."""
    request = NetworkRequest(name="six", enable_ipv6=True)
    machine.host.run(lambda: machine.controller.create_network(request))
    machine.run("speaker", "six")
    saved = machine.host.nft("list ruleset")
    machine.host.nft(f"flush ruleset\n{saved}")
    assert machine.host.nft("list ruleset") == saved
    assert not machine.host.run(machine.controller.check_firewall)
    with web.namespace.listen("0.0.0.0", 80):
        assert machine.neighbour.reaches(HOST_ADDRESS, 8080)


def test_our_own_changes_are_no_damage(machine: Machine, web: Container):
    for name in ("a", "b"):
        other = machine.run(name, "bridge", ports=(PortRequest(container_port=80),))
        assert not machine.host.run(machine.controller.check_firewall)
        machine.end(other)
        assert not machine.host.run(machine.controller.check_firewall)


def test_a_port_that_nobody_publishes(machine: Machine, web: Container):
    with (
        machine.host.listen("0.0.0.0", 8085),
        pytest.raises(NotFound, match=r"no container publishes port 8085/tcp; .*\(pid"),
    ):
        reach(machine, 8085)
    with pytest.raises(NotFound, match="no container publishes port 8086/tcp$"):
        reach(machine, 8086)


def test_published_on_loopback_is_told_so(machine: Machine, web: Container):
    port = PortRequest(container_port=80, host_port="8090", host_ip="127.0.0.1")
    machine.run("inner", "bridge", ports=(port,))
    found = reach(machine, 8090)
    assert {r.verdict for r in found if not r.client.startswith("this host")} == {"no"}
    assert from_lan(machine, 8090).decided_by == "published on 127.0.0.1 only"
    eventually(lambda: machine.host.reaches("127.0.0.1", 8090))
