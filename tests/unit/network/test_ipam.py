"""Which subnet a network gets, which address an endpoint gets."""

from ipaddress import ip_address, ip_network

import pytest

from cutaway.errors import InvalidParameter
from cutaway.network.errors import AddressInUse, NetworkNotFound, PoolOverlaps, PoolsExhausted
from cutaway.network.facts import NetworkFacts
from cutaway.network.ipams.base import AddressWish, PoolTerms
from cutaway.network.ipams.leases import Leases, Pool
from cutaway.network.ipams.registry import built_in_ipams
from cutaway.network.ipams.subnets import (
    Occupied,
    check_subnet,
    choose_subnet,
    complete_config,
    parse_subnet,
)
from cutaway.network.ipams.surroundings import Surroundings
from cutaway.network.network import IpamConfig, Network, NetworkRequest
from cutaway.network.settings import DEFAULT_POOLS, AddressPool, NetworkSettings


def test_the_first_free_subnet_of_the_pools_is_chosen():
    taken = [
        Occupied(ip_network("172.17.0.0/16"), "a"),
        Occupied(ip_network("172.18.5.0/24"), "b"),
        Occupied(ip_network("fd00::/8"), "c"),
    ]
    assert choose_subnet(4, DEFAULT_POOLS, taken) == ip_network("172.19.0.0/16")


def test_exhausted_pools_name_what_is_in_the_way():
    pools = (AddressPool.parse("10.0.0.0/23", 24),)
    taken = [Occupied(ip_network("10.0.0.0/8"), "route 10.0.0.0/8 dev tun0")]
    with pytest.raises(PoolsExhausted, match=r"in the way: route 10\.0\.0\.0/8 dev tun0"):
        choose_subnet(4, pools, taken)


def test_a_huge_pool_held_by_one_neighbour_is_skipped_at_once():
    pools = (AddressPool.parse("fd00::/8", 64), AddressPool.parse("2001:db8::/48", 64))
    taken = [Occupied(ip_network("fc00::/7"), "route")]
    assert choose_subnet(6, pools, taken) == ip_network("2001:db8::/64")


def test_a_taken_subnet_is_refused_with_its_owner():
    taken = [Occupied(ip_network("10.1.0.0/16"), "network web (10.1.0.0/16)")]
    with pytest.raises(PoolOverlaps, match="Pool overlaps with other one on this address space"):
        check_subnet(ip_network("10.1.2.0/24"), taken)


@pytest.mark.parametrize(
    ("name", "subnets", "address"),
    [("default", ["172.17.0.0/16"], "172.17.0.2/16"), ("null", [], "")],
)
def test_what_the_built_in_ipams_give(name: str, subnets: list[str], address: str):
    leases = Leases()
    ipam = built_in_ipams(NetworkSettings(run_directory="/run"), leases)[name]
    terms = PoolTerms(versions=(4,), around=Surroundings(facts=NetworkFacts()))
    pools = ipam.request_pools(NetworkRequest(name="web"), terms)
    assert [pool.subnet for pool in pools] == subnets
    network = Network(id="1", name="web", driver="bridge", created="", ipam=pools)
    leases.open_pools(network)
    for _ in range(2):  # what is given back is given again
        given = ipam.request_address(network, 4, AddressWish(owner="container web"))
        assert given == address
        leases.release(network.id, given)
    leases.close_pools(network.id)
    if address:
        with pytest.raises(NetworkNotFound, match="network web not found"):
            ipam.request_address(network, 4, AddressWish(owner="container web"))


@pytest.mark.parametrize("text", ["10.0.0.0", "nonsense", "10.0.0.1/24", "10.0.0.0/33", ""])
def test_what_is_no_subnet_is_refused(text):
    with pytest.raises(InvalidParameter, match="invalid subnet"):
        parse_subnet(text)


def test_a_config_is_completed_with_the_first_address_as_gateway():
    subnet = ip_network("10.1.0.0/24")
    done = complete_config(IpamConfig(), subnet, gateway_needed=True)
    assert done == IpamConfig(subnet="10.1.0.0/24", gateway="10.1.0.1")
    ranged = IpamConfig(subnet="10.1.0.0/24", ip_range="10.1.0.64/26")
    assert complete_config(ranged, subnet, gateway_needed=True).gateway == "10.1.0.64"
    reserved = IpamConfig(aux_addresses={"router": "10.1.0.1"})
    assert complete_config(reserved, subnet, gateway_needed=True).gateway == "10.1.0.2"
    assert complete_config(IpamConfig(), subnet, gateway_needed=False).gateway == ""


@pytest.mark.parametrize(
    "config",
    [
        IpamConfig(gateway="10.2.0.1"),
        IpamConfig(ip_range="10.2.0.0/24"),
        IpamConfig(aux_addresses={"a": "10.2.0.9"}),
        IpamConfig(gateway="x"),
    ],
)
def test_what_lies_outside_the_subnet_is_refused(config):
    with pytest.raises(InvalidParameter):
        complete_config(config, ip_network("10.1.0.0/24"), gateway_needed=True)


def test_addresses_are_leased_lowest_first_and_again_when_released():
    pool = Pool.of(IpamConfig(subnet="10.1.0.0/29", gateway="10.1.0.1"))
    leased = [str(pool.lease("x")) for _ in range(5)]
    assert leased == ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"]
    assert pool.lease("x") is None
    pool.release(ip_address("10.1.0.4"))
    pool.release(ip_address("10.1.0.4"))
    assert str(pool.lease("y")) == "10.1.0.4"
    assert pool.lease("z") is None


def test_an_address_that_was_asked_for_is_given_once():
    pool = Pool.of(IpamConfig(subnet="10.1.0.0/24", gateway="10.1.0.1", ip_range="10.1.0.128/25"))
    wanted = ip_address("10.1.0.5")  # outside the range, inside the subnet
    assert pool.lease("container web", wanted) == wanted
    with pytest.raises(AddressInUse, match="belongs to container web"):
        pool.lease("other", wanted)
    for reserved, owner in (("10.1.0.1", "gateway"), ("10.1.0.0", "subnet"), ("10.1.0.255", "br")):
        with pytest.raises(AddressInUse, match=owner):
            pool.lease("other", ip_address(reserved))
    assert str(pool.lease("other")) == "10.1.0.128"


def test_small_subnets():
    assert str(Pool.of(IpamConfig(subnet="10.1.0.0/31")).lease("x")) == "10.1.0.0"
    assert str(Pool.of(IpamConfig(subnet="10.1.0.7/32")).lease("x")) == "10.1.0.7"


def test_ipv6_pool():
    pool = Pool.of(IpamConfig(subnet="fd00::/64", gateway="fd00::1"))
    assert str(pool.lease("x")) == "fd00::2"
