"""rtnetlink on the real kernel; ``ip`` tells what is there, pyroute2 what was sent."""

import errno
import json
import os
import socket
import subprocess
from typing import Any

import pytest

from cutaway import linux
from cutaway.linux import rtnetlink as rt
from cutaway.linux.netlink import NETLINK_ROUTE, NetlinkSocket, Request, in_network_namespace
from cutaway.linux.rtnetlink.abi import IFA_F, RTM, RTNLGRP
from cutaway.linux.rtnetlink.links import parse_link

pytestmark = pytest.mark.usefixtures("network_namespace")
ifinfmsg = pytest.importorskip("pyroute2.netlink.rtnl.ifinfmsg").ifinfmsg


def ip(*arguments: str) -> Any:
    """Ask iproute2, as JSON, in this thread's network namespace."""
    command = ["ip", "-json", "-details", *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output or "[]")


def ip_link(name: str) -> dict[str, Any]:
    return ip("link", "show", "dev", name)[0]


@pytest.fixture
def host() -> Any:
    with NetlinkSocket(NETLINK_ROUTE) as netlink:
        yield netlink


@pytest.fixture
def sandbox(other_namespace: int) -> Any:
    with in_network_namespace(other_namespace, NETLINK_ROUTE) as netlink:
        yield netlink


def test_a_whole_sandbox_in_two_batches(
    host: NetlinkSocket, sandbox: NetlinkSocket, other_namespace: int
) -> None:
    peer = rt.link_peer(
        "eth0", index=2, address="02:42:ac:11:00:02", mtu=1400, netns_fd=other_namespace
    )
    host.request(
        [
            rt.link_set("lo", up=True),
            rt.link_add("br0", "bridge", index=10, up=True, data=rt.bridge_data(forward_delay=0)),
            rt.address_add(10, "172.17.0.1/16", broadcast=True),
            rt.link_add(
                "ve1", "veth", up=True, group=77, master=10, mtu=1400, data=rt.veth_data(peer)
            ),
            rt.bridge_port_set("ve1", hairpin=True, isolated=True),
            rt.link_set("ve1", alias="cutaway abc", addr_gen_mode=rt.ADDR_GEN_MODE.NONE),
        ]
    )
    sandbox.request(
        [
            rt.link_set("lo", up=True),
            rt.link_set(2, up=True),
            rt.address_add(2, "172.17.0.2/16", broadcast=True),
            rt.address_add(2, "fd00::2/64", no_dad=True),
            rt.route_add("default", gateway="172.17.0.1"),
            rt.route_add("default", gateway="fd00::1"),
        ]
    )
    port = ip_link("ve1")
    assert (port["master"], port["mtu"], port["group"]) == ("br0", 1400, "77")
    assert port["ifalias"] == "cutaway abc"
    assert port["inet6_addr_gen_mode"] == "none"
    slave = port["linkinfo"]["info_slave_data"]
    assert (slave["hairpin"], slave["isolated"]) == (True, True)
    links = {link.name: link for link in rt.dump_links(sandbox)}
    assert links["eth0"].index == 2
    assert links["eth0"].address == "02:42:ac:11:00:02"
    assert rt.IFF.UP | rt.IFF.LOWER_UP in links["eth0"].flags
    routes = {(r.destination, r.gateway, r.link) for r in rt.dump_routes(sandbox)}
    assert {("default", "172.17.0.1", 2), ("default", "fd00::1", 2)} <= routes


def test_no_namespace_but_the_one_meant_is_touched(
    host: NetlinkSocket, sandbox: NetlinkSocket
) -> None:
    sandbox.request([rt.link_add("only", "bridge")])
    assert [link.name for link in rt.dump_links(host)] == ["lo"]
    assert {link.name for link in rt.dump_links(sandbox)} == {"lo", "only"}


def test_links_are_told_as_ip_tells_them(host: NetlinkSocket) -> None:
    host.request(
        [
            rt.link_add("br0", "bridge", up=True),
            rt.link_add("ve0", "veth", data=rt.veth_data(rt.link_peer("ve1"))),
            rt.link_set("ve0", alias="text"),
        ]
    )
    told = {link["ifname"]: link for link in ip("link", "show")}
    links = rt.dump_links(host)
    assert {link.name for link in links} == set(told)
    for link in links:
        other = told[link.name]
        assert link.index == other["ifindex"]
        assert link.mtu == other["mtu"]
        assert link.address == other["address"]
        assert link.kind == other.get("linkinfo", {}).get("info_kind", "")
        assert link.alias == other.get("ifalias", "")
        assert (rt.IFF.UP in link.flags) is ("UP" in other["flags"])
    assert rt.get_link(host, "ve0").parent == rt.get_link(host, "ve1").index
    assert [link.name for link in rt.dump_links(host, where=lambda lk: lk.kind == "bridge")] == [
        "br0"
    ]


def test_a_request_is_what_pyroute2_would_have_sent() -> None:
    request = rt.link_add(
        "ve0", "veth", index=5, up=True, mtu=1300, master=7, group=9, txqlen=11,
        address="02:00:00:00:00:01", data=rt.veth_data(rt.link_peer("ve1", mtu=1300)),
    )  # fmt: skip
    header = len(request.body).to_bytes(4, "little") + bytes((16, 0)) + bytes(10)
    message = ifinfmsg(header + request.body)
    message.decode()
    assert (message["index"], message["flags"] & 1) == (5, 1)
    assert message.get_attr("IFLA_IFNAME") == "ve0"
    assert message.get_attr("IFLA_MTU") == 1300
    assert message.get_attr("IFLA_MASTER") == 7
    assert message.get_attr("IFLA_GROUP") == 9
    assert message.get_attr("IFLA_TXQLEN") == 11
    assert message.get_attr("IFLA_ADDRESS") == "02:00:00:00:00:01"
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert peer.get_attr("IFLA_IFNAME") == "ve1"


def test_a_link_is_renamed_moved_and_set_down(
    host: NetlinkSocket, sandbox: NetlinkSocket, other_namespace: int
) -> None:
    host.request([rt.link_add("old", "bridge", index=20, up=True)])
    host.request(
        [
            rt.link_set("old", up=False, mtu=1234, address="02:00:00:00:00:09", group=3),
            rt.link_set(20, new_name="new", txqlen=77),
        ]
    )
    told = ip_link("new")
    assert (told["mtu"], told["address"], told["txqlen"]) == (1234, "02:00:00:00:00:09", 77)
    assert "UP" not in told["flags"]
    host.request([rt.link_add("mv", "veth", data=rt.veth_data(rt.link_peer("mv1")))])
    host.request([rt.link_set("mv", netns_fd=other_namespace)])
    assert rt.get_link(sandbox, "mv").kind == "veth"


def test_a_port_is_taken_from_its_bridge(host: NetlinkSocket) -> None:
    host.request(
        [
            rt.link_add("br0", "bridge", index=10),
            rt.link_add("p0", "veth", master=10, data=rt.veth_data(rt.link_peer("p1"))),
            rt.bridge_port_set(
                "p0", learning=False, unicast_flood=False, neighbour_suppression=True
            ),
        ]
    )
    slave = ip_link("p0")["linkinfo"]["info_slave_data"]
    assert (slave["learning"], slave["flood"], slave["neigh_suppress"]) == (False, False, True)
    host.request([rt.link_set("p0", master=0)])
    assert rt.get_link(host, "p0").master == 0


def test_macvlan_is_made_inside_the_sandbox(
    host: NetlinkSocket, sandbox: NetlinkSocket, other_namespace: int
) -> None:
    host.request([rt.link_add("up0", "veth", index=30, data=rt.veth_data(rt.link_peer("up1")))])
    data = rt.macvlan_data(rt.MACVLAN_MODE.BRIDGE)
    host.request([rt.link_add("eth0", "macvlan", parent=30, netns_fd=other_namespace, data=data)])
    link = rt.get_link(sandbox, "eth0")
    assert (link.kind, link.parent, link.parent_netnsid >= 0) == ("macvlan", 30, True)


def test_vxlan_with_its_forwarding_entries(host: NetlinkSocket) -> None:
    data = rt.vxlan_data(42, local="127.0.0.1", port=4790, learning=False, proxy=True)
    host.request(
        [
            rt.link_set("lo", up=True),
            rt.link_add("vx0", "vxlan", index=40, up=True, data=data),
            rt.fdb_add(40, "02:00:00:00:00:07", remote="127.0.0.9"),
            rt.fdb_add(40, "00:00:00:00:00:00", remote="127.0.0.8", append=True),
            rt.fdb_add(40, "00:00:00:00:00:00", remote="127.0.0.7", append=True),
        ]
    )
    info = ip_link("vx0")["linkinfo"]["info_data"]
    assert (info["id"], info["local"], info["port"]) == (42, "127.0.0.1", 4790)
    assert (info["learning"], info["proxy"]) == (False, True)
    entries = rt.dump_neighbours(host, 40, family=socket.AF_BRIDGE)
    assert ("127.0.0.9", "02:00:00:00:00:07") in {(e.address, e.link_address) for e in entries}
    host.request([rt.fdb_delete(40, "02:00:00:00:00:07", remote="127.0.0.9")])
    assert "127.0.0.9" not in {
        e.address for e in rt.dump_neighbours(host, 40, family=socket.AF_BRIDGE)
    }


def test_vxlan_over_ipv6_with_a_group(host: NetlinkSocket) -> None:
    data = rt.vxlan_data(7, local="::1", group="fd00::9", parent=1, miss_events=True)
    host.request([rt.link_set("lo", up=True), rt.link_add("vx6", "vxlan", data=data)])
    info = ip_link("vx6")["linkinfo"]["info_data"]
    assert (info["local6"], info["remote6"], info["link"]) == ("::1", "fd00::9", "lo")


def test_bridge_settings(host: NetlinkSocket) -> None:
    data = rt.bridge_data(
        forward_delay=200, ageing_time=30000, stp=False, group_forward_mask=0x4000,
        multicast_snooping=False, call_iptables=False,
    )  # fmt: skip
    request = rt.link_add("br0", "bridge", data=data)
    (failure,) = host.try_requests([request])
    if failure is not None:
        pytest.skip(f"this kernel's bridge lacks a setting: {failure}")
    info = ip_link("br0")["linkinfo"]["info_data"]
    assert (info["forward_delay"], info["ageing_time"]) == (200, 30000)
    assert (info["mcast_snooping"], info["nf_call_iptables"]) == (0, 0)


def test_kinds_this_kernel_may_lack_are_well_formed(host: NetlinkSocket) -> None:
    host.request([rt.link_add("up0", "veth", index=30, data=rt.veth_data(rt.link_peer("up1")))])
    requests = [
        rt.link_add("vl", "vlan", parent=30, data=rt.vlan_data(12)),
        rt.link_add("iv", "ipvlan", parent=30, data=rt.ipvlan_data(rt.IPVLAN_MODE.L3)),
    ]
    for failure in host.try_requests(requests):
        assert failure is None or failure.errno == errno.EOPNOTSUPP


def test_a_group_is_deleted_at_once(host: NetlinkSocket) -> None:
    for number in range(4):
        data = rt.veth_data(rt.link_peer(f"b{number}"))
        host.request([rt.link_add(f"a{number}", "veth", group=500, data=data)])
    host.request([rt.link_group_delete(500)])
    assert [link.name for link in rt.dump_links(host)] == ["lo"]


def test_the_default_group_is_never_deleted() -> None:
    with pytest.raises(ValueError, match="default link group"):
        rt.link_group_delete(0)


def test_addresses_are_told_as_ip_tells_them(host: NetlinkSocket) -> None:
    host.request(
        [
            rt.link_add("br0", "bridge", index=10, up=True),
            rt.address_add(10, "10.1.2.3/20", broadcast=True, label="br0:x"),
            rt.address_add(10, "10.9.9.9", no_prefix_route=True),
            rt.address_add(10, "fd00::1/64", no_dad=True, no_prefix_route=True),
            rt.address_add(10, "10.1.2.3/20", replace=True),
        ]
    )
    told = ip("addr", "show", "dev", "br0")[0]["addr_info"]
    mine = rt.dump_addresses(host, 10)
    assert {a.prefix for a in mine} == {f"{t['local']}/{t['prefixlen']}" for t in told}
    first = next(a for a in mine if a.prefix == "10.1.2.3/20")
    assert (first.broadcast, first.label) == ("10.1.15.255", "br0:x")
    sixth = next(a for a in mine if a.prefix == "fd00::1/64")
    assert IFA_F.NODAD | IFA_F.NOPREFIXROUTE in sixth.flags
    host.request([rt.address_delete(10, "10.1.2.3/20"), rt.address_delete(10, "fd00::1/64")])
    assert {a.prefix for a in rt.dump_addresses(host, 10)} & {"10.1.2.3/20", "fd00::1/64"} == set()
    assert len(rt.dump_addresses(host)) >= len(rt.dump_addresses(host, 10))


def test_routes_are_told_as_ip_tells_them(host: NetlinkSocket) -> None:
    host.request(
        [
            rt.link_add("br0", "bridge", index=10, up=True),
            rt.address_add(10, "10.1.0.1/16"),
            rt.address_add(10, "fd00::1/64", no_dad=True),
            rt.route_add("10.2.0.0/16", gateway="10.1.0.9", source="10.1.0.1", metric=5),
            rt.route_add("10.3.0.0/16", link=10),
            rt.route_add("10.4.0.0/16", kind=rt.RTN.BLACKHOLE, metric=8),
            rt.route_add("10.5.0.0/16", gateway="9.9.9.9", link=10, onlink=True, table=1000),
            rt.route_add("fd01::/64", gateway="fd00::9"),
            rt.route_add("default", gateway="10.1.0.9"),
            rt.route_add("default", gateway="10.1.0.8", replace=True),
            rt.route_add("default", link=10, family=socket.AF_INET6),
        ]
    )
    told = {(r["dst"], r.get("gateway", "")) for r in ip("-4", "route", "show", "table", "all")}
    mine = {
        (r.destination.removesuffix("/32"), r.gateway)
        for r in rt.dump_routes(host, socket.AF_INET, table=0)
    }
    assert mine == told
    routes = {r.destination: r for r in rt.dump_routes(host)}
    assert (routes["10.2.0.0/16"].metric, routes["10.2.0.0/16"].source) == (5, "10.1.0.1")
    assert routes["10.4.0.0/16"].kind == rt.RTN.BLACKHOLE
    assert routes["fd01::/64"].gateway == "fd00::9"
    assert "10.5.0.0/16" not in routes
    host.request(
        [
            rt.route_delete("10.5.0.0/16", table=1000),
            rt.route_delete("default", gateway="10.1.0.8"),
            rt.route_delete("fd01::/64"),
        ]
    )
    destinations = {(r.destination, r.family) for r in rt.dump_routes(host, table=0)}
    assert ("default", socket.AF_INET) not in destinations
    assert {"10.5.0.0/16", "fd01::/64"}.isdisjoint(d for d, _ in destinations)


def test_rules_are_told(host: NetlinkSocket) -> None:
    rule_text = "from 10.0.0.0/8 fwmark 7 lookup 1000 priority 99"
    subprocess.run(["ip", "rule", "add", *rule_text.split()], check=True)
    rule = next(r for r in rt.dump_rules(host, socket.AF_INET) if r.priority == 99)
    assert (rule.table, rule.source, rule.destination, rule.mark) == (
        1000, "10.0.0.0/8", "default", 7,
    )  # fmt: skip
    assert {r.table for r in rt.dump_rules(host)} >= {253, 254, 255, 1000}


def test_neighbours(host: NetlinkSocket) -> None:
    host.request(
        [
            rt.link_add("br0", "bridge", index=10, up=True),
            rt.neighbour_add(10, "10.1.0.9", "02:00:00:00:00:09"),
            rt.neighbour_add(10, "fd00::9", "02:00:00:00:00:09"),
        ]
    )
    found = {(n.address, n.link_address, n.state) for n in rt.dump_neighbours(host, 10)}
    assert {
        ("10.1.0.9", "02:00:00:00:00:09", rt.NUD.PERMANENT),
        ("fd00::9", "02:00:00:00:00:09", rt.NUD.PERMANENT),
    } <= found
    host.request([rt.neighbour_delete(10, "10.1.0.9")])
    permanent = [n for n in rt.dump_neighbours(host) if n.state == rt.NUD.PERMANENT]
    assert "10.1.0.9" not in {n.address for n in permanent}


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (rt.link_delete("nope"), 'RTM_DELLINK("nope"): No such device'),
        (rt.link_delete(4711), "RTM_DELLINK(4711): No such device"),
        (rt.link_add("lo", "bridge"), 'RTM_NEWLINK(bridge "lo"): File exists'),
        (
            rt.link_add("x", "nokind"),
            'RTM_NEWLINK(nokind "x"): Operation not supported (Unknown device type)',
        ),
        (rt.link_set("nope", up=True), 'RTM_SETLINK("nope"): No such device'),
        (
            rt.route_add("default", gateway="9.9.9.9"),
            "RTM_NEWROUTE(default via 9.9.9.9): Network is unreachable "
            "(Nexthop has invalid gateway)",
        ),
        (
            rt.route_delete("10.0.0.0/8", link=1),
            "RTM_DELROUTE(10.0.0.0/8 on link 1): No such process (FIB table does not exist)",
        ),
    ],
)
def test_a_refusal_names_the_request_and_the_kernels_reason(
    host: NetlinkSocket, request_: Request, text: str
) -> None:
    with pytest.raises(linux.KernelError) as error:
        host.request([request_])
    assert str(error.value) == text


def test_requests_after_a_refused_one_are_tried_and_the_socket_goes_on(
    host: NetlinkSocket,
) -> None:
    outcomes = host.try_requests(
        [rt.link_delete("nope"), rt.link_set("lo", up=True), rt.link_delete("neither")]
    )
    assert [o.errno if o else None for o in outcomes] == [errno.ENODEV, None, errno.ENODEV]
    assert rt.IFF.UP in rt.get_link(host, "lo").flags
    with pytest.raises(linux.KernelError, match='RTM_GETLINK."nope".: No such device'):
        rt.get_link(host, "nope")
    assert host.request([]) == []


def test_a_refused_dump_is_an_error(host: NetlinkSocket) -> None:
    with pytest.raises(linux.KernelError, match="rubbish: "):
        host.dump(Request(RTM.GETLINK, 0, b"\0" * 4, "rubbish"))


def test_a_socket_is_never_shared_with_a_child(host: NetlinkSocket) -> None:
    """Two readers of one socket would take each other's answers."""
    pid = linux.fork()
    if pid == 0:
        refused = 0
        for use in (
            lambda: host.request([rt.link_set("lo", up=True)]),
            lambda: rt.dump_links(host),
        ):
            try:
                use()
            except RuntimeError:
                refused += 1
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2


def test_many_links_are_all_listed(host: NetlinkSocket) -> None:
    host.set_buffer_bytes(send=1 << 20, receive=1 << 20)
    host.request(rt.link_add(f"b{number}", "bridge") for number in range(60))
    assert len(rt.dump_links(host)) == 61


def test_changes_are_told_to_a_subscriber(host: NetlinkSocket) -> None:
    with NetlinkSocket(NETLINK_ROUTE) as watcher:
        watcher.join(RTNLGRP.LINK)
        assert watcher.receive_events() == []
        host.request([rt.link_add("br0", "bridge")])
        messages = watcher.receive_events()
        assert messages[0].kind == RTM.NEWLINK
        assert parse_link(messages[0].body).name == "br0"
        assert watcher.fileno() >= 0


def test_lost_events_are_told(host: NetlinkSocket) -> None:
    with NetlinkSocket(NETLINK_ROUTE) as watcher:
        watcher.join(RTNLGRP.LINK)
        host.request([rt.link_add("br0", "bridge")])
        for mtu in range(1000, 1400):
            host.request([rt.link_set("br0", mtu=mtu)])
        with pytest.raises(linux.KernelError, match="events were lost"):
            list(iter(watcher.receive_events, []))


@pytest.mark.parametrize("name", ["", "x" * 16, "a/b", ".", "..", "a b", "a:b", "a\0b", "ä" * 8])
def test_a_name_no_link_can_have_is_refused_before_the_kernel(name: str) -> None:
    with pytest.raises(ValueError, match="not a link name"):
        rt.link_add(name, "bridge")


def test_a_rename_by_name_is_refused() -> None:
    with pytest.raises(ValueError, match="a link is renamed by index"):
        rt.link_set("old", new_name="new")
