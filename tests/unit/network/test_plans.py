"""Plans as values: what a network, a sandbox, a change of networks takes."""

import os
from dataclasses import replace

import pytest

from cutaway.errors import Forbidden, InvalidParameter
from cutaway.network import EndpointRequest, IpamConfig, MemoryStore, NetworkRequest
from cutaway.network.book import Book
from cutaway.network.decisions.endpoints import check_combination, lease_endpoint, plan_sandbox
from cutaway.network.decisions.networks import default_bridge_request, plan_network
from cutaway.network.drivers import DriverContext
from cutaway.network.drivers.bare import HostDriver, NullDriver
from cutaway.network.drivers.bridge import BridgeDriver, mac_from_ipv4, parse_endpoint_sysctls
from cutaway.network.endpoint import Endpoint
from cutaway.network.errors import (
    AddressInUse,
    AmbiguousNetwork,
    EndpointExists,
    NetworkNotFound,
    PoolOverlaps,
)
from cutaway.network.facts import Link, NetworkFacts, Route
from cutaway.network.firewall.entries import endpoint_entries, network_entries, port_entries
from cutaway.network.firewall.sets import Entry
from cutaway.network.firewall.steps import AddFirewallElements
from cutaway.network.ipams.default import DefaultIpam
from cutaway.network.ipams.leases import Leases
from cutaway.network.ipams.surroundings import Surroundings
from cutaway.network.network import Network
from cutaway.network.publishing.ports import PortBinding
from cutaway.network.sandbox import Sandbox, SandboxMode, SandboxRequest
from cutaway.network.sandbox_steps import (
    ConfigureInterface,
    CreateVeth,
    RaiseLoopback,
    SetDefaultRoute,
    SetInterface,
)
from cutaway.network.settings import NetworkSettings
from cutaway.network.steps import CreateBridge, SetSysctl
from cutaway.network.store import Change

SETTINGS = NetworkSettings(run_directory="/run/cutaway/network")
CONTEXT = DriverContext(instance="cutaway", group=7)
FACTS = NetworkFacts(
    links=(Link(1, "lo", "", 65536, True), Link(2, "eth0", "", 1450, True)),
    routes=(Route("0.0.0.0/0", "eth0", "192.0.2.1"), Route("192.0.2.0/24", "eth0")),
    nameservers=("192.0.2.53",),
)
DRIVER = BridgeDriver()
IPAM = DefaultIpam(SETTINGS, Leases())
NETWORK_ID = "0123456789abcdef" * 4


def network(**request) -> Network:
    made = NetworkRequest(**{"name": "back", **request})
    around = Surroundings.of(FACTS, ())
    return plan_network(made, DRIVER, SETTINGS, around, network_id=NETWORK_ID, ipam=IPAM)


def sandbox_request(name="web", **more) -> SandboxRequest:
    return SandboxRequest(container_id="c" * 64, container_name=name, hostname=name, **more)


def attach(book: Book, request: EndpointRequest, present=(), sandbox=None) -> Endpoint:
    return lease_endpoint(
        book,
        request,
        sandbox or sandbox_request(),
        driver=DRIVER,
        ipam=DefaultIpam(SETTINGS, book.leases),
        network=book.find_network(request.network),
        present=present,
    )


@pytest.fixture
def book() -> Book:
    made = Book(MemoryStore())
    made.add_network(network(ipam=(IpamConfig(subnet="10.5.0.0/24"),)))
    return made


def test_a_network_is_decided_from_facts():
    made = network()
    assert made.ipam == (IpamConfig(subnet="172.17.0.0/16", gateway="172.17.0.1"),)
    assert (made.device, made.mtu) == ("br-0123456789ab", 1450)
    assert made.device_is_ours
    assert Network.from_json(made.to_json()) == made


def test_a_record_with_one_flag_for_all_versions_is_read() -> None:
    record = network(ipam=(IpamConfig(subnet="10.1.0.0/24"),)).to_json()
    given = record.pop("subnets_given")
    assert given == (4,)
    old = Network.from_json({**record, "subnet_given": True})
    assert old.subnets_given == (4,)
    assert Network.from_json({**record, "subnet_given": False}).subnets_given == ()


def test_the_plan_of_a_bridge():
    assert DRIVER.plan_network(network(), FACTS, CONTEXT) == (
        CreateBridge(
            why="network back",
            name="br-0123456789ab",
            addresses=("172.17.0.1/16",),
            mtu=1450,
            alias=f"cutaway network {NETWORK_ID}",
            mac="02:42:01:23:45:67",
        ),
        SetSysctl(why="network back", name="net.ipv6.conf.br-0123456789ab.accept_ra", value="0"),
        SetSysctl(why="network back", name="net.ipv6.conf.br-0123456789ab.disable_ipv6", value="1"),
    )


def test_a_users_subnet_may_be_part_of_a_route_but_not_hold_one():
    facts = NetworkFacts(routes=(Route("10.0.0.0/8", "tun0"), Route("10.5.7.0/24", "eth0")))
    around = Surroundings.of(facts, ())

    def plan(subnet):
        request = NetworkRequest(name="x", ipam=(IpamConfig(subnet=subnet),))
        return plan_network(request, DRIVER, SETTINGS, around, network_id=NETWORK_ID, ipam=IPAM)

    assert plan("10.9.0.0/24").ipam[0].gateway == "10.9.0.1"
    with pytest.raises(PoolOverlaps, match="route 10.5.7.0/24 dev eth0"):
        plan("10.5.0.0/16")


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"name": " "}, "name is empty"),
        ({"name": "a\tb"}, "holds a control character"),
        ({"options": {"com.docker.network.driver.mtu": "big"}}, "mtu"),
        ({"options": {"com.docker.network.bridge.enable_icc": "maybe"}}, "ParseBool"),
        ({"options": {"com.docker.network.bridge.gateway_mode_ipv4": "x"}}, "gateway mode"),
        ({"enable_ipv4": False}, "IPv4 or IPv6 must be enabled"),
        ({"ipam": (IpamConfig(gateway="10.0.0.1"),)}, "no subnet for the gateway"),
    ],
)
def test_bad_requests(request_, text):
    with pytest.raises(InvalidParameter, match=text):
        network(**request_)


def test_the_default_network_as_a_request():
    settings = NetworkSettings(run_directory="/run", bip="10.7.0.9/24", mtu=1400, icc=False)
    request = default_bridge_request(settings, FACTS)
    assert request.ipam == (IpamConfig(subnet="10.7.0.0/24", gateway="10.7.0.9"),)
    assert request.options["com.docker.network.bridge.enable_icc"] == "false"
    with pytest.raises(InvalidParameter, match="must be created manually"):
        default_bridge_request(NetworkSettings(run_directory="/run", bridge="br7"), FACTS)
    for bad in ("10.7.0.0/24", "10.7.0.9", "x"):
        with pytest.raises(InvalidParameter):
            default_bridge_request(NetworkSettings(run_directory="/run", bip=bad), FACTS)


def test_the_plan_of_a_sandbox(book: Book):
    endpoint = attach(book, EndpointRequest(network="back"))
    sandbox = Sandbox(
        id="c" * 64,
        mode=SandboxMode.OWN,
        endpoints=(endpoint,),
        request=sandbox_request(),
    )
    plan = plan_sandbox(
        sandbox,
        book.networks,
        drivers={"bridge": DRIVER},
        context=CONTEXT,
        settings=SETTINGS,
    )
    why = "--network back"
    host = f"ve{'c' * 7}{endpoint.id[:6]}"
    assert plan[:3] == (
        RaiseLoopback(why="default"),
        CreateVeth(
            why=why,
            host_name=host,
            inner_name="eth0",
            bridge="br-0123456789ab",
            mac="02:42:0a:05:00:02",
            host_mac="fe" + plan[1].host_mac[2:],
            mtu=1450,
            group=7,
            alias=f"cutaway endpoint {endpoint.id}",
            without_ipv6=True,
        ),
        ConfigureInterface(
            why=why,
            name="eth0",
            addresses=("10.5.0.2/24",),
            host_links=(host, "br-0123456789ab"),
        ),
    )
    assert plan[3] == SetDefaultRoute(why=why, gateway="10.5.0.1", interface="eth0")
    assert isinstance(plan[-1], AddFirewallElements)
    for step in plan:
        assert step.describe()
        assert step.shell()


@pytest.mark.parametrize("is_alone", [True, False])
def test_what_somebody_else_writes_meanwhile_is_not_touched(book: Book, is_alone: bool):
    endpoint = attach(book, EndpointRequest(network="back"))
    context = replace(CONTEXT, is_alone=is_alone)
    veth, *rest = DRIVER.plan_endpoint(book.find_network("back"), endpoint, context)
    off = SetInterface(why="--network back", name="net.ipv6.conf.eth0.disable_ipv6", value="1")
    assert isinstance(veth, CreateVeth)
    assert veth.without_ipv6 == is_alone
    assert (off in rest) != is_alone


def test_links_of_one_container_differ_though_their_endpoints_ids_begin_alike(
    book: Book, monkeypatch: pytest.MonkeyPatch
):
    ids = iter(("abc001" + "0" * 58, "abc002" + "0" * 58))
    monkeypatch.setattr(os, "urandom", lambda _: bytes.fromhex(next(ids)))
    other = replace(book.find_network("back"), id="f" * 64, name="front")
    book.add_network(other)
    links = [attach(book, EndpointRequest(network=n)).host_interface for n in ("back", "front")]
    assert links == ["vecccccccabc001", "vecccccccabc002"]


def test_a_container_is_once_on_a_network(book: Book):
    first = attach(book, EndpointRequest(network="back"))
    with pytest.raises(EndpointExists, match="endpoint with name web already exists in network"):
        attach(book, EndpointRequest(network="back"), present=(first,))


def test_addresses_that_are_asked_for(book: Book):
    endpoint = attach(book, EndpointRequest(network="back", ipv4="10.5.0.77"))
    assert (endpoint.ipv4, endpoint.mac) == ("10.5.0.77/24", mac_from_ipv4("10.5.0.77"))
    with pytest.raises(AddressInUse, match="container web"):
        attach(book, EndpointRequest(network="back", ipv4="10.5.0.77"))
    with pytest.raises(InvalidParameter, match="contain the IP address 10.6.0.7"):
        attach(book, EndpointRequest(network="back", ipv4="10.6.0.7"))
    with pytest.raises(InvalidParameter, match="invalid link local IP address: 10.1.1.1"):
        attach(book, EndpointRequest(network="back", link_local=("10.1.1.1",)))
    with pytest.raises(InvalidParameter, match=r"\* invalid IPv4 address: x\n\* no configured"):
        attach(book, EndpointRequest(network="back", ipv4="x"))
    with pytest.raises(InvalidParameter, match="invalid MAC"):
        attach(book, EndpointRequest(network="back", mac="x"))


def test_an_address_needs_a_subnet_that_the_user_chose():
    book = Book(MemoryStore())
    book.add_network(network())
    with pytest.raises(InvalidParameter, match="user configured subnets"):
        attach(book, EndpointRequest(network="back", ipv4="172.17.0.9"))


def test_networks_are_found_by_id_name_and_beginning(book: Book):
    for reference in (NETWORK_ID, "back", "0123"):
        assert book.find_network(reference).name == "back"
    with pytest.raises(NetworkNotFound, match="network nothing not found"):
        book.find_network("nothing")
    other = network(name="other", ipam=(IpamConfig(subnet="10.8.0.0/24"),))
    book.add_network(Network.from_json({**other.to_json(), "id": "01" + "f" * 62}))
    with pytest.raises(AmbiguousNetwork):
        book.find_network("01")


def test_a_book_is_read_back_from_its_store():
    store = MemoryStore()
    book = Book(store)
    book.add_network(network(ipam=(IpamConfig(subnet="10.5.0.0/24"),)))
    endpoint = attach(book, EndpointRequest(network="back", aliases=("sql",)))
    binding = PortBinding(container_port=80, protocol="tcp", host_ip="0.0.0.0", host_port=8080)
    sandbox = Sandbox(
        id="c" * 64,
        mode=SandboxMode.OWN,
        endpoints=(endpoint,),
        ports=(binding,),
        request=sandbox_request(endpoints=(EndpointRequest(network="back"),)),
    )
    book.write_sandbox(sandbox)
    store.write_network_records([Change("endpoint", "rubbish", {"id": "rubbish"})])
    again = Book(store)
    again.load()
    assert again.sandbox("c" * 64) == sandbox
    assert ("endpoint", "rubbish") not in store.records
    assert again.ports.owner("tcp", "127.0.0.1", 8080) == "container web"
    assert attach(again, EndpointRequest(network="back")).ipv4 == "10.5.0.3/24"
    again.remove_sandboxes([sandbox])
    assert [kind for kind, _ in store.records] == ["network"]
    assert attach(again, EndpointRequest(network="back")).ipv4 == "10.5.0.2/24"


def test_firewall_elements_of_a_network():
    made = network(ipam=(IpamConfig(subnet="10.5.0.0/24"),))
    assert network_entries(made) == [
        Entry("bridges", ("br-0123456789ab",)),
        Entry("neighbours", ("br-0123456789ab", "br-0123456789ab")),
        Entry("subnets4", ("10.5.0.0/24",)),
        Entry("homes4", ("10.5.0.0/24", "br-0123456789ab")),
        Entry("guarded4", ("10.5.0.0/24",)),
        Entry("hidden4", ("10.5.0.0/24",)),
    ]


@pytest.mark.parametrize(
    ("options", "internal", "has", "has_not"),
    [
        ({"com.docker.network.bridge.enable_icc": "false"}, False, {"isolated"}, {"neighbours"}),
        ({"com.docker.network.bridge.enable_ip_masquerade": "0"}, False, set(), {"hidden4"}),
        ({}, True, {"internal"}, {"hidden4"}),
        (
            {"com.docker.network.bridge.gateway_mode_ipv4": "routed"},
            False,
            {"routed"},
            {"guarded4", "hidden4"},
        ),
        (
            {"com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected"},
            False,
            {"exposed", "hidden4"},
            {"guarded4"},
        ),
        ({"com.docker.network.host_ipv4": "192.0.2.9"}, False, {"source4"}, {"hidden4"}),
    ],
)
def test_firewall_elements_follow_the_options(options, internal, has, has_not):
    names = {e.set_name for e in network_entries(network(options=options, internal=internal))}
    assert has <= names
    assert not has_not & names


def test_firewall_elements_of_ports(book: Book):
    made = book.find_network("back")

    def entries(host_ip):
        binding = PortBinding(container_port=80, protocol="tcp", host_ip=host_ip, host_port=8080)
        return port_entries(binding, network=made, address="10.5.0.2", address_v6="")

    target = ("10.5.0.2", "80")
    assert entries("0.0.0.0") == [Entry("anyports4", ("tcp", "8080"), target)]
    assert entries("192.0.2.9") == [Entry("ports4", ("192.0.2.9", "tcp", "8080"), target)]
    assert entries("127.0.0.1") == []
    assert entries("::") == []


def test_addresses_a_link_may_send_with(book: Book):
    endpoint = attach(book, EndpointRequest(network="back", link_local=("169.254.7.7",)))
    link = endpoint.host_interface
    assert endpoint_entries(book.find_network("back"), endpoint) == [
        Entry("allotted", (link,)),
        Entry("macs", (link, "02:42:0a:05:00:02")),
        Entry("addresses4", (link, "10.5.0.2")),
        Entry("addresses4", (link, "169.254.7.7")),
    ]


def test_addresses_a_link_may_claim_in_ipv6(book: Book):
    endpoint = attach(book, EndpointRequest(network="back", mac="02:42:0a:05:00:02"))
    endpoint = replace(endpoint, ipv6="fd05::2/64")
    link, own = endpoint.host_interface, f"{0xFE80 << 112 | 0x42_0AFF_FE05_0002:#x}"
    entries = endpoint_entries(book.find_network("back"), endpoint)
    assert set(entries[2:]) == {
        Entry("addresses4", (link, "10.5.0.2")),
        Entry("addresses6", (link, "fd05::2")),
        Entry("addresses6", (link, "fe80::42:aff:fe05:2")),
        Entry("targets6", (link, "0xfd050000000000000000000000000002")),
        Entry("targets6", (link, own)),
        Entry("options6", (link, "0x87", "0x10102420a050002")),
        Entry("options6", (link, "0x88", "0x20102420a050002")),
    }
    assert len(entries) == 9


def test_endpoint_sysctls_are_of_the_interface_only():
    option = "com.docker.network.endpoint.sysctls"

    def parse(text):
        return parse_endpoint_sysctls(
            Endpoint(
                id="e",
                network_id="n",
                network_name="n",
                container_id="c",
                container_name="c",
                interface="eth1",
                driver_options={option: text},
            )
        )

    assert parse("net.ipv4.conf.IFNAME.log_martians=1") == (
        ("net.ipv4.conf.eth1.log_martians", "1"),
    )
    for bad in (
        "kernel.core_pattern=|/x",
        "net.ipv4.conf.all.forwarding=1",
        "net.ipv4.conf.IFNAME.x",
        "net.ipv4.conf.IFNAME.../../x=1",
    ):
        with pytest.raises(InvalidParameter, match="invalid endpoint sysctl"):
            parse(bad)


def test_the_way_out_is_chosen_by_priority_then_name():
    def endpoint(name, priority=0, gateway="10.0.0.1"):
        return Endpoint(
            id=name,
            network_id=name,
            network_name=name,
            container_id="c",
            container_name="c",
            gateway=gateway,
            gateway_priority=priority,
        )

    def chosen(*endpoints):
        sandbox = Sandbox(
            id="c", mode=SandboxMode.OWN, endpoints=endpoints, request=sandbox_request()
        )
        return sandbox.gateway_endpoint and sandbox.gateway_endpoint.id

    assert chosen(endpoint("b"), endpoint("a")) == "a"
    assert chosen(endpoint("b", 1), endpoint("a")) == "b"
    assert chosen(endpoint("a", gateway=""), endpoint("b")) == "b"
    assert chosen(endpoint("a", gateway="")) is None


def test_host_and_none_do_not_mix_with_others(book: Book):
    back = book.find_network("back")
    for mode in (SandboxMode.HOST, SandboxMode.NONE):
        with pytest.raises(Forbidden, match="cannot be connected"):
            check_combination(mode, back)
    for driver in (HostDriver(), NullDriver()):
        with pytest.raises(Forbidden, match="only one instance"):
            driver.check_request(NetworkRequest(name="x"), FACTS)
