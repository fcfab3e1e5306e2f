"""The default bridge and user bridges on the real kernel."""

import errno
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cutaway.linux import KernelError
from cutaway.linux.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket
from cutaway.linux.nftables import Batch, dump_tables
from cutaway.linux.rtnetlink import get_link, link_add, link_delete, link_set
from cutaway.network import EndpointRequest, IpamConfig, NetworkRequest
from cutaway.network.decisions.endpoints import IFNAME_OPTION
from cutaway.network.drivers.bridge import SYSCTLS_OPTION
from cutaway.network.errors import MissingLinkKind, NetworkInUse, PoolOverlaps
from cutaway.network.sandbox_steps import ConfigureInterface
from cutaway.network.shared_socket import SharedSocket
from cutaway.network.steps import NetworkScope
from support.machine import HOST_ADDRESS, NEIGHBOUR_ADDRESS, Machine
from support.netns import fetch, serve_once
from support.waiting import eventually


def test_containers_on_the_default_bridge_reach_each_other_the_host_and_the_world(machine: Machine):
    machine.start()
    web, other = machine.run("web"), machine.run("other")
    assert web.address == "172.17.0.2"
    assert other.address == "172.17.0.3"
    with web.namespace.listen("0.0.0.0", 80):
        assert other.namespace.reaches("172.17.0.2", 80)
        assert machine.host.reaches("172.17.0.2", 80)
    with machine.host.listen("0.0.0.0", 81):
        assert web.namespace.reaches("172.17.0.1", 81)
        assert web.namespace.reaches(HOST_ADDRESS, 81)


def test_a_container_hides_behind_the_host(machine: Machine):
    machine.start()
    web = machine.run("web")
    with machine.neighbour.listen("0.0.0.0", 80) as server:
        serve_once(server, b"hello")
        text = fetch(web.namespace.open(), NEIGHBOUR_ADDRESS, 80)
    assert text == f"{HOST_ADDRESS} hello"


def test_an_error_from_outside_reaches_the_container_that_it_is_about(machine: Machine):
    machine.start()
    web = machine.run("web")
    with web.namespace.open(socket.SOCK_DGRAM) as client:
        client.connect((NEIGHBOUR_ADDRESS, 9))
        client.send(b"is anybody there?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(9)


def test_the_ledger_tells_every_step_and_undo_takes_all_back(machine: Machine):
    machine.start()
    web = machine.run("web")
    kinds = [record.kind for record in web.ledger.records()]
    assert kinds == [
        "RaiseLoopback",
        "CreateVeth",
        "ConfigureInterface",
        "SetDefaultRoute",
        "AddFirewallElements",
    ]
    host_end = web.sandbox.endpoints[0].host_interface
    assert host_end in machine.host.links()
    assert machine.host.run(web.ledger.undo_all) == []
    assert host_end not in machine.host.links()


def test_an_ended_container_leaves_nothing_and_its_address_is_given_again(machine: Machine):
    controller = machine.start()
    before = machine.host.links()
    machine.end(machine.run("web"))
    machine.host.run(controller.check_firewall)
    eventually(lambda: machine.host.links() == before)
    again = machine.run("web")
    assert again.address == "172.17.0.2"
    assert controller.endpoints(controller.network("bridge").id)[0].container_name == "web"


def test_a_retired_link_is_cut_off_while_its_namespace_lives_on(machine: Machine):
    controller = machine.start()
    old = machine.run("old")
    server = old.namespace.listen("0.0.0.0", 80)
    machine.host.run(lambda: controller.delete_sandbox(old.sandbox.id))
    new = machine.run("new")
    assert new.address == old.address
    assert not machine.host.reaches(new.address, 80)
    server.close()


def test_without_ipv6_the_interface_has_no_ipv6_address(machine: Machine):
    machine.start()
    web = machine.run("web")
    assert web.namespace.sysctl("net.ipv6.conf.eth0.disable_ipv6") == "1"
    assert web.namespace.sysctl("net.ipv6.conf.lo.disable_ipv6") == "0"
    assert web.namespace.sysctl("net.ipv6.conf.default.disable_ipv6") == "0"


def test_an_interface_may_have_ipv6_where_the_network_has_none(machine: Machine):
    machine.start()
    wish = {SYSCTLS_OPTION: "net.ipv6.conf.IFNAME.disable_ipv6=0"}
    web = machine.run("web", EndpointRequest(network="bridge", driver_options=wish))
    assert web.namespace.sysctl("net.ipv6.conf.eth0.disable_ipv6") == "0"


def test_ipv6_of_a_network_and_without_it_side_by_side(machine: Machine):
    controller = machine.start()
    request = NetworkRequest(name="six", enable_ipv6=True)
    machine.host.run(lambda: controller.create_network(request))
    both = machine.run("both", "bridge", "six")
    six = both.sandbox.endpoints[1].interface
    names = ("eth0", six, "default", "all")
    values = [both.namespace.sysctl(f"net.ipv6.conf.{name}.disable_ipv6") for name in names]
    assert values == ["1", "0", "0", "0"]


def test_threads_may_share_a_socket(machine: Machine):
    def ask(_: int) -> set[str]:
        return {get_link(shared, "lo").name for _ in range(300)}

    shared = machine.host.run(lambda: SharedSocket(NETLINK_ROUTE))
    with shared, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [{"lo"}] * 4


def test_no_container_waits_for_another_that_joins(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    controller = machine.start()
    old = machine.run("old")
    has_begun, may_end = threading.Event(), threading.Event()
    configure = ConfigureInterface.apply

    def linger(step: ConfigureInterface, scope: NetworkScope) -> None:
        has_begun.set()
        assert may_end.wait(20)
        configure(step, scope)

    monkeypatch.setattr(ConfigureInterface, "apply", linger)
    with ThreadPoolExecutor() as pool:
        joining = pool.submit(machine.run, "new")
        assert has_begun.wait(20)
        machine.host.run(lambda: controller.delete_sandbox(old.sandbox.id))
        assert not machine.host.run(controller.check_firewall)
        may_end.set()
        new = joining.result(20)
    assert new.address == "172.17.0.3"
    with new.namespace.listen("0.0.0.0", 80):
        assert machine.host.reaches(new.address, 80)


def test_undoing_a_start_leaves_the_hosts_settings_alone(machine: Machine):
    machine.start()
    setting = "net.ipv4.conf.lan0.log_martians"
    options = {
        IFNAME_OPTION: "lan0",  # as one of the host's
        SYSCTLS_OPTION: "net.ipv4.conf.IFNAME.log_martians=1",
    }
    web = machine.run("web", EndpointRequest(network="bridge", driver_options=options))
    assert web.namespace.sysctl(setting) == "1"
    machine.host.sysctl(setting, "1")
    assert machine.host.run(web.ledger.undo_all) == []
    assert machine.host.sysctl(setting) == "1"


def test_a_pool_that_a_route_holds_is_passed_over(machine: Machine):
    machine.host.add_route("172.17.0.0/20", NEIGHBOUR_ADDRESS)
    controller = machine.start()
    assert controller.network("bridge").ipam[0].subnet == "172.18.0.0/16"
    network = machine.host.run(lambda: controller.create_network(NetworkRequest(name="web")))
    assert network.ipam[0].subnet == "172.19.0.0/16"


def test_bip_is_obeyed(machine: Machine):
    controller = machine.start(bip="10.77.0.9/24", mtu=1400)
    web = machine.run("web")
    assert controller.network("bridge").ipam[0].gateway == "10.77.0.9"
    assert web.address == "10.77.0.1"
    assert web.sandbox.endpoints[0].gateway == "10.77.0.9"
    assert web.sandbox.endpoints[0].mtu == 1400


def test_a_user_network_is_separate_from_the_default_one(machine: Machine):
    controller = machine.start()
    machine.host.run(lambda: controller.create_network(NetworkRequest(name="back")))
    web, db = machine.run("web"), machine.run("db", "back")
    with db.namespace.listen("0.0.0.0", 5432):
        assert not web.namespace.reaches(db.address, 5432)
        both = machine.run("both", "bridge", "back")
        assert both.namespace.reaches(db.address, 5432)


def test_a_neighbour_that_routes_to_a_container_by_hand_is_stopped(machine: Machine):
    machine.start()
    web = machine.run("web")
    machine.neighbour.add_route("172.17.0.0/16", HOST_ADDRESS)
    with web.namespace.listen("0.0.0.0", 80):
        assert not machine.neighbour.reaches(web.address, 80)


def test_an_internal_network_has_no_way_out_and_none_in(machine: Machine):
    controller = machine.start()
    machine.host.run(lambda: controller.create_network(NetworkRequest(name="inner", internal=True)))
    a, b = machine.run("a", "inner"), machine.run("b", "inner")
    with machine.neighbour.listen("0.0.0.0", 80), b.namespace.listen("0.0.0.0", 80):
        assert a.namespace.reaches(b.address, 80)
        assert not a.namespace.reaches(NEIGHBOUR_ADDRESS, 80)
        # not even by a route set by hand
        a.namespace.add_route("default", controller.network("inner").ipam[0].gateway)
        assert not a.namespace.reaches(NEIGHBOUR_ADDRESS, 80)


def test_icc_off_separates_containers_also_by_way_of_the_gateway(machine: Machine):
    controller = machine.start(icc=False)
    a, b = machine.run("a"), machine.run("b")
    gateway = controller.network("bridge").ipam[0].gateway
    with b.namespace.listen("0.0.0.0", 80), machine.host.listen("0.0.0.0", 81):
        assert not a.namespace.reaches(b.address, 80)
        a.namespace.add_route(f"{b.address}/32", gateway)
        assert not a.namespace.reaches(b.address, 80)
        assert a.namespace.reaches(gateway, 81)


def test_a_container_can_not_take_another_address(machine: Machine):
    machine.start()
    a, b = machine.run("a"), machine.run("b")
    a.namespace.add_address("eth0", "172.17.0.77/16")
    with b.namespace.listen("0.0.0.0", 80):
        client = a.namespace.open()
        client.bind(("172.17.0.77", 0))
        client.settimeout(0.5)
        with client, pytest.raises(TimeoutError):
            client.connect((b.address, 80))
        assert a.namespace.reaches(b.address, 80)


def test_ipv6_network(machine: Machine):
    controller = machine.start()
    request = NetworkRequest(name="six", enable_ipv6=True)
    network = machine.host.run(lambda: controller.create_network(request))
    assert network.ipam[1].subnet.startswith("fd")
    a, b = machine.run("a", "six"), machine.run("b", "six")
    with b.namespace.listen("::", 80):
        # The kernel joins an address's multicast group by a work queue: the first question may
        # come too early and is asked again after a second.
        assert a.namespace.reaches(b.sandbox.endpoints[0].address_v6, 80, timeout=3)
    with machine.neighbour.listen("::", 80):
        assert a.namespace.reaches("fd99::2", 80, timeout=3)


def test_host_does_not_become_a_router_for_others(machine: Machine, namespaces):
    far = namespaces("far")
    machine.host.wire("far0", far, "far0")
    machine.host.add_address("far0", "10.98.0.1/24")
    far.add_address("far0", "10.98.0.2/24")
    far.add_route("default", "10.98.0.1")
    machine.neighbour.add_route("default", HOST_ADDRESS)
    machine.start()
    assert machine.host.sysctl("net.ipv4.ip_forward") == "1"
    with far.listen("0.0.0.0", 80):
        assert not machine.neighbour.reaches("10.98.0.2", 80)


def test_a_host_that_was_a_router_stays_one(machine: Machine, namespaces):
    far = namespaces("far")
    machine.host.wire("far0", far, "far0")
    machine.host.add_address("far0", "10.98.0.1/24")
    far.add_address("far0", "10.98.0.2/24")
    far.add_route("default", "10.98.0.1")
    machine.neighbour.add_route("default", HOST_ADDRESS)
    machine.host.sysctl("net.ipv4.ip_forward", "1")
    machine.start()
    with far.listen("0.0.0.0", 80):
        assert machine.neighbour.reaches("10.98.0.2", 80)


def test_frames_on_a_foreign_bridge_are_not_routed_and_pass(machine: Machine, namespaces):
    guests = [namespaces("guest1"), namespaces("guest2")]
    machine.host.configure([link_add("virbr9", "bridge", up=True)])
    for number, guest in enumerate(guests, 1):
        port = f"vnet{number}"
        machine.host.wire(port, guest, "lan0")
        machine.host.configure([link_set(port, master=machine.host.index("virbr9"))])
        guest.add_address("lan0", f"10.98.0.{number}/24", f"fd98::{number}/64")
    machine.start(ipv6=True)
    for version in ("ip", "ip6"):  # as of a kernel with br_netfilter, per namespace
        name = f"net.bridge.bridge-nf-call-{version}tables"
        if os.path.exists("/proc/sys/" + name.replace(".", "/")):
            machine.host.sysctl(name, "1")
    # nft(8) can print the rule, and no digit as the name of a link: what somebody saves can be
    # loaded on a host that has no such link.
    assert "switched, not routed" in machine.host.nft("list chain inet cutaway forwarding")
    digits = machine.host.nft("list set inet cutaway samedigits").partition("elements")[2]
    assert digits
    assert '"' not in digits
    # Ports of a new bridge forward when the kernel has seen their carrier.
    with guests[1].listen("0.0.0.0", 80):
        eventually(lambda: guests[0].reaches("10.98.0.2", 80))
    with guests[1].listen("::", 80):
        eventually(lambda: guests[0].reaches("fd98::2", 80))


def test_remove_network(machine: Machine):
    controller = machine.start()
    before = machine.host.links()
    network = machine.host.run(lambda: controller.create_network(NetworkRequest(name="back")))
    assert f"br-{network.id[:12]}" in machine.host.links()
    db = machine.run("db", "back")
    with pytest.raises(NetworkInUse) as refused:
        machine.host.run(lambda: controller.remove_network("back"))
    assert 'has active endpoints (name:"db"' in str(refused.value)
    machine.end(db)
    machine.host.run(lambda: controller.remove_network("back"))
    machine.host.run(controller.check_firewall)
    eventually(lambda: machine.host.links() == before)


def test_a_subnet_on_the_hosts_own_wire_is_refused_by_name(machine: Machine):
    controller = machine.start()
    request = NetworkRequest(name="x", ipam=(IpamConfig(subnet="10.99.0.0/24"),))
    with pytest.raises(PoolOverlaps) as refused:
        machine.host.run(lambda: controller.create_network(request))
    assert "route 10.99.0.0/24 dev lan0" in str(refused.value)
    assert [n.name for n in controller.networks()] == ["host", "none", "bridge"]


def test_connect_and_disconnect_a_running_container(machine: Machine):
    controller = machine.start()
    request = NetworkRequest(name="back", ipam=(IpamConfig(subnet="10.50.0.0/24"),))
    machine.host.run(lambda: controller.create_network(request))
    db, web = machine.run("db", "back"), machine.run("web")
    wanted = EndpointRequest(network="back", ipv4="10.50.0.77", mac="02:00:00:00:00:77")
    with db.namespace.listen("0.0.0.0", 5432):
        assert not web.namespace.reaches(db.address, 5432)
        endpoint = machine.host.run(
            lambda: controller.connect(web.sandbox.id, wanted, web.namespace.fd)
        )
        assert (endpoint.interface, endpoint.address) == ("eth1", "10.50.0.77")
        assert web.namespace.reaches(db.address, 5432)
        machine.host.run(lambda: controller.disconnect(web.sandbox.id, "bridge", web.namespace.fd))
        assert web.namespace.links() == ["lo", "eth1"]
        assert web.namespace.reaches(db.address, 5432)
    with machine.neighbour.listen("0.0.0.0", 80):  # the way out is the other network now
        assert web.namespace.reaches(NEIGHBOUR_ADDRESS, 80)


def test_flushed_rules_come_back(machine: Machine):
    controller = machine.start()
    web = machine.run("web")
    machine.neighbour.add_route("172.17.0.0/16", HOST_ADDRESS)
    assert not machine.host.run(controller.check_firewall)
    with machine.host.run(lambda: NetlinkSocket(NETLINK_NETFILTER)) as nft:
        for table in dump_tables(nft):
            Batch().delete_table(table).commit(nft)
        with web.namespace.listen("0.0.0.0", 80):
            assert machine.neighbour.reaches(web.address, 80)
            assert machine.host.run(controller.check_firewall)
            assert not machine.neighbour.reaches(web.address, 80)
        assert not machine.host.run(controller.check_firewall)


def test_a_new_engine_finds_what_runs_and_removes_what_does_not(machine: Machine):
    machine.start()
    web, gone = machine.run("web"), machine.run("gone")
    lost = gone.sandbox.endpoints[0].host_interface
    controller = machine.start({web.sandbox.id: web.namespace.fd})
    assert [e.container_name for e in controller.endpoints(controller.network("bridge").id)] == [
        "web"
    ]
    assert lost not in machine.host.links()
    with web.namespace.listen("0.0.0.0", 80):
        assert machine.host.reaches(web.address, 80)
    assert machine.run("new").address == gone.address


def test_a_new_engine_repairs_a_bridge_that_was_deleted(machine: Machine):
    machine.start()
    web = machine.run("web")
    machine.host.configure([link_delete("cutaway0")])
    machine.start({web.sandbox.id: web.namespace.fd})
    other = machine.run("other")
    with web.namespace.listen("0.0.0.0", 80):
        assert other.namespace.reaches(web.address, 80)


def test_another_engines_links_are_left_alone(machine: Machine):
    machine.start()
    web = machine.run("web")
    mine = web.sandbox.endpoints[0].host_interface
    controller = machine.controller
    machine.controller = None
    machine.start(instance="cutaway-two", bridge="none")
    assert mine in machine.host.links()
    assert "cutaway0" in machine.host.links()
    controller.close()


def test_a_failing_join_is_undone(machine: Machine):
    controller = machine.start()
    machine.host.configure([link_delete("cutaway0")])
    links = machine.host.links()
    with pytest.raises(KernelError) as failed:
        machine.run("web")
    assert failed.value.errno == errno.ENODEV
    container = machine.containers[0]
    assert machine.host.run(container.ledger.undo_all) == []
    machine.end(container)
    assert machine.host.links() == links
    assert controller.endpoints(controller.network("bridge").id) == []


def test_an_existing_bridge_is_used_and_never_removed(machine: Machine):
    machine.host.configure([link_add("br7", "bridge", up=True)])
    machine.host.add_address("br7", "10.70.0.1/24")
    controller = machine.start(bridge="br7")
    web = machine.run("web")
    assert web.address == "10.70.0.2"
    assert not controller.network("bridge").device_is_ours
    machine.start(bridge="none")
    assert "br7" in machine.host.links()


def test_macvlan_talks_to_the_neighbour_but_not_to_its_own_host(machine: Machine):
    controller = machine.start()
    request = NetworkRequest(
        name="wire",
        driver="macvlan",
        options={"parent": "lan0"},
        ipam=(IpamConfig(subnet="10.99.0.0/24", gateway="10.99.0.2", ip_range="10.99.0.64/26"),),
    )
    machine.host.run(lambda: controller.create_network(request))
    web = machine.run("web", "wire")
    assert web.address == "10.99.0.64"
    with web.namespace.listen("0.0.0.0", 5000):
        assert machine.neighbour.reaches(web.address, 5000)
        assert not machine.host.reaches(web.address, 5000)


def test_ipvlan_talks_to_the_neighbour_or_its_missing_option_is_named(machine: Machine):
    controller = machine.start()
    request = NetworkRequest(
        name="v",
        driver="ipvlan",
        options={"parent": "lan0"},
        ipam=(IpamConfig(subnet="10.99.0.0/24", gateway="10.99.0.2", ip_range="10.99.0.64/26"),),
    )
    try:
        machine.host.run(lambda: controller.create_network(request))
    except MissingLinkKind as refused:
        assert refused.option == "CONFIG_IPVLAN"  # noqa: PT017 - both answers are right
    else:
        web = machine.run("web", "v")
        with web.namespace.listen("0.0.0.0", 5000):
            assert machine.neighbour.reaches(web.address, 5000)


def test_forty_containers_have_forty_addresses(machine: Machine):
    machine.start()
    containers = [machine.run(f"c{i}") for i in range(40)]
    assert len({c.address for c in containers}) == 40
