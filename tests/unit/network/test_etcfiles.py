"""The texts of hosts, resolv.conf and hostname."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.network.naming.etcfiles import (
    ResolverConfig,
    edit_hosts,
    embedded_resolv_conf,
    hostname_file,
    hosts,
    own_names,
    parse_extra_host,
    resolv_conf,
)


def test_hosts():
    text = hosts([("172.17.0.2", ("web.example.org", "web"))], [("10.0.0.1", "db")])
    assert text.splitlines() == [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
        "10.0.0.1\tdb",
        "172.17.0.2\tweb.example.org web",
    ]


@pytest.mark.parametrize(
    ("hostname", "domain", "names"),
    [
        ("web", "", ("web",)),
        ("web", "example.org", ("web.example.org", "web")),
        ("web.example.org", "", ("web.example.org", "web")),
    ],
)
def test_own_names(hostname, domain, names):
    assert own_names(hostname, domain) == names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:10.0.0.1", [("10.0.0.1", "db")]),
        ("db=10.0.0.1", [("10.0.0.1", "db")]),
        ("db:::1", [("::1", "db")]),
        ("db:[::1]", [("::1", "db")]),
        ("host:host-gateway", [("172.17.0.1", "host")]),
    ],
)
def test_extra_hosts(text, expected):
    assert parse_extra_host(text, ["172.17.0.1"]) == expected


@pytest.mark.parametrize("text", ["db", ":10.0.0.1", "db:ten", "db:"])
def test_bad_extra_hosts(text):
    with pytest.raises(InvalidParameter):
        parse_extra_host(text, [])


def test_a_name_can_not_write_a_line_of_its_own():
    """The class of CVE-2022-4318."""
    with pytest.raises(InvalidParameter, match="white space"):
        hosts([("172.17.0.2", ("web\n10.0.0.9 bank",))])
    with pytest.raises(InvalidParameter):
        hostname_file("web\nroot::0:0")
    with pytest.raises(InvalidParameter):
        resolv_conf(ResolverConfig(("1.1.1.1",), ("a\nnameserver 6.6.6.6",)))


def test_edits_leave_the_users_lines_alone():
    text = "127.0.0.1\tlocalhost\n10.0.0.5\tmine\n172.18.0.2\tweb\n"
    edited = edit_hosts(text, ["172.18.0.2\tweb\n"], ["172.19.0.2\tweb\n", "10.0.0.5\tmine\n"])
    assert edited == "127.0.0.1\tlocalhost\n10.0.0.5\tmine\n172.19.0.2\tweb\n"


def test_resolv_conf_is_read_as_the_c_library_does():
    text = (
        "# x\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver junk\n"
        "domain a\nsearch b c\noptions ndots:2 rotate\n"
    )
    assert ResolverConfig.parse(text) == ResolverConfig(
        ("10.0.0.1", "fe80::1"), ("b", "c"), ("ndots:2", "rotate")
    )


def test_overrides_and_the_dot_that_means_nothing():
    host = ResolverConfig(("10.0.0.1",), ("corp",), ("rotate",))
    assert host.override((), (), ()) == host
    assert host.override(("9.9.9.9",), (".",), ("ndots:1",)) == ResolverConfig(
        ("9.9.9.9",), (), ("ndots:1",)
    )


def test_loopback_servers_are_of_no_use_elsewhere():
    config = ResolverConfig(("127.0.0.53", "10.0.0.1", "fd00::1"))
    assert config.reachable_servers(has_ipv6=False) == ("10.0.0.1",)
    assert config.reachable_servers(has_ipv6=True) == ("10.0.0.1", "fd00::1")
    assert ResolverConfig(("127.0.0.1",)).reachable_servers(has_ipv6=False) == (
        "8.8.8.8",
        "8.8.4.4",
    )


def test_embedded():
    text = embedded_resolv_conf(ResolverConfig(("10.0.0.1",), ("corp",), ("ndots:2",)))
    assert text.splitlines()[1:4] == ["nameserver 127.0.0.11", "search corp", "options ndots:2"]
    assert "options ndots:0" in embedded_resolv_conf(ResolverConfig())
