"""nftables on the real kernel: ``nft`` lists what we send as it lists what it sent itself."""

import errno
import os
import socket
import subprocess
import threading
from collections.abc import Callable

import pytest

from cutaway import linux
from cutaway.linux import CLONE
from cutaway.linux import rtnetlink as rt
from cutaway.linux.addressing import pack_ip
from cutaway.linux.netlink import NetlinkSocket, in_network_namespace
from cutaway.linux.nftables import (
    ACCEPT,
    CONTINUE,
    DROP,
    HOOK,
    NETDEV_HOOK,
    NETLINK_NETFILTER,
    NFNLGRP_NFTABLES,
    NFPROTO,
    RETURN,
    SET,
    Batch,
    Chain,
    Element,
    KeyType,
    RawField,
    Rule,
    Set,
    Table,
    dump_chains,
    dump_elements,
    dump_rules,
    dump_sets,
    dump_tables,
    get_generation,
    goto,
    join_key,
    jump,
    pack_ifname,
    pack_mark,
    pack_port,
    pack_protocol,
    parse_change,
)
from cutaway.linux.nftables import expressions as x
from cutaway.linux.nftables import matches as m
from cutaway.linux.nftables.abi import (
    CT,
    CT_STATE,
    CT_STATUS,
    DYNSET,
    FIB_F,
    FIB_RESULT,
    ICMPX,
    META,
    NAT,
    NF_NAT_RANGE,
    NFT_MSG,
    PAYLOAD,
    REJECT,
)

pytestmark = pytest.mark.usefixtures("network_namespace")

V4, V6 = NFPROTO.IPV4, NFPROTO.IPV6
TABLE = Table(NFPROTO.INET, "t")
CHAIN = Chain(TABLE, "c", "filter", HOOK.FORWARD, priority=0)
NAT_CHAIN = Chain(TABLE, "n", "nat", HOOK.PREROUTING, priority=-100)
POST = Chain(TABLE, "p", "nat", HOOK.POSTROUTING, priority=100)
TCP, UDP, ICMPV6 = 6, 17, 58


def nft(*arguments: str, script: str = "") -> str:
    """Run nft in this thread's network namespace."""
    command = ["nft", *arguments]
    done = subprocess.run(command, input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def netfilter() -> NetlinkSocket:
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        yield netlink


def rules_batch(*expressions: tuple[bytes, ...], chain: Chain = CHAIN) -> Batch:
    batch = Batch().add_table(TABLE).add_chain(chain)
    for number in expressions:
        batch.add_rule(Rule(chain, number))
    return batch


RULES = [
    ('iifname "br0" accept', (m.input_link("br0"), x.verdict(ACCEPT))),
    ('oifname != "br*" drop', (m.output_link("br*", invert=True), x.verdict(DROP))),
    ("ip saddr 172.17.0.0/16 return", (m.ip_source("172.17.0.0/16"), x.verdict(RETURN))),
    ("ip daddr != 10.0.0.7 drop", (m.ip_destination("10.0.0.7", invert=True), x.verdict(DROP))),
    ("ip6 saddr fd00::/33 accept", (m.ip_source("fd00::/33"), x.verdict(ACCEPT))),
    ("ip6 daddr fd00::1 continue", (m.ip_destination("fd00::1"), x.verdict(CONTINUE))),
    ("tcp dport 80 accept", (m.l4_protocol(TCP), m.destination_port(80), x.verdict(ACCEPT))),
    (
        "udp sport 1000-2000 accept",
        (m.l4_protocol(UDP), m.source_port(1000, 2000), x.verdict(ACCEPT)),
    ),
    (
        "tcp dport != 1000-2000 drop",
        (m.l4_protocol(TCP), m.destination_port(1000, 2000, invert=True), x.verdict(DROP)),
    ),
    (
        "icmpv6 type nd-neighbor-solicit accept",
        (m.l4_protocol(ICMPV6), m.icmpv6_type(135), x.verdict(ACCEPT)),
    ),
    (
        "icmpv6 type != 133-137 accept",
        (m.l4_protocol(ICMPV6), m.icmpv6_type(133, 137, invert=True), x.verdict(ACCEPT)),
    ),
    ("exthdr frag exists drop", (m.ip_version(V6), m.is_fragment(), x.verdict(DROP))),
    ("frag frag-off != 0 accept", (m.ip_version(V6), m.is_later_fragment(), x.verdict(ACCEPT))),
    ("meta l4proto != tcp accept", (m.l4_protocol(TCP, invert=True), x.verdict(ACCEPT))),
    (
        "ct state established,related accept",
        (m.ct_state(CT_STATE.ESTABLISHED | CT_STATE.RELATED), x.verdict(ACCEPT)),
    ),
    ("ct status dnat accept", (m.ct_status(CT_STATUS.DNAT), x.verdict(ACCEPT))),
    ("meta mark 0x10 accept", (m.mark(0x10), x.verdict(ACCEPT))),
    ("meta mark & 0xff != 0x10 drop", (m.mark(0x10, 0xFF, invert=True), x.verdict(DROP))),
    ("fib daddr type local accept", (m.destination_is_local(), x.verdict(ACCEPT))),
    ("fib saddr oif 0 drop", (
        x.fib(FIB_RESULT.OIF, FIB_F.SADDR), x.compare(0, bytes(4)), x.verdict(DROP))),
    ("counter packets 0 bytes 0", (x.counter(),)),
    ('log prefix "no: " level info', (x.log("no: ", level=6),)),
    ('log prefix "grp" group 3', (x.log("grp", group=3),)),
    ("reject", (x.reject(),)),
    ("reject with icmpx admin-prohibited", (x.reject(code=ICMPX.ADMIN_PROHIBITED),)),
    ("meta l4proto tcp reject with tcp reset", (m.l4_protocol(TCP), x.reject(REJECT.TCP_RST, 0))),
    ("limit rate 10/minute accept", (x.limit(10, 60), x.verdict(ACCEPT))),
    ("limit rate over 3/second drop", (x.limit(3, invert=True), x.verdict(DROP))),
    ("meta mark set 0x5", (x.immediate(pack_mark(5)), x.meta_set(META.MARK))),
    ("ct mark set 0x5", (x.immediate(pack_mark(5)), x.ct_set(CT.MARK))),
    (
        "ct mark set ct mark",
        (x.ct(CT.MARK), x.ct_set(CT.MARK)),
    ),
    (
        "meta l4proto tcp ct original proto-dst 80 accept",
        (
            m.l4_protocol(TCP),
            x.ct(CT.PROTO_DST, direction=0),
            x.compare(0, pack_port(80)),
            x.verdict(ACCEPT),
        ),
    ),
]  # fmt: skip


def listing() -> str:
    return nft("list", "ruleset")


@pytest.mark.parametrize(("text", "expressions"), RULES, ids=[text for text, _ in RULES])
def test_a_rule_is_listed_as_nfts_own(
    netfilter: NetlinkSocket, text: str, expressions: tuple[bytes, ...]
) -> None:
    rules_batch(expressions).commit(netfilter)
    ours = listing()
    nft("flush", "ruleset")
    hook = "type filter hook forward priority 0;"
    nft("-f", "-", script=f"table inet t {{ chain c {{ {hook}\n {text}\n }}\n }}\n")
    assert ours == listing()


NAT_RULES = [
    (
        "tcp dport 80 dnat ip to 10.0.0.2:8080", NAT_CHAIN, (
            m.l4_protocol(TCP), m.destination_port(80), x.immediate(pack_ip("10.0.0.2")),
            x.immediate(pack_port(8080), 4), x.nat(NAT.DNAT, V4, address=0, port=4))),
    (
        "udp dport 53 redirect to :5353", NAT_CHAIN, (
            m.l4_protocol(UDP), m.destination_port(53), x.immediate(pack_port(5353)),
            x.redirect(0))),
    ("redirect", NAT_CHAIN, (x.redirect(),)),
    (
        "ip saddr 10.0.0.0/8 masquerade fully-random", POST, (
            m.ip_source("10.0.0.0/8"), x.masquerade(NF_NAT_RANGE.RANDOM_FULLY))),
    (
        "ip saddr 10.0.0.0/8 snat ip to 1.2.3.4 persistent", POST, (
            m.ip_source("10.0.0.0/8"), x.immediate(pack_ip("1.2.3.4")),
            x.nat(NAT.SNAT, V4, address=0, flags=NF_NAT_RANGE.PERSISTENT))),
    (
        "meta l4proto tcp masquerade to :1024", POST, (
            m.l4_protocol(TCP), x.immediate(pack_port(1024)), x.masquerade(port=0))),
    ("ip6 saddr fd00::/8 masquerade", POST, (m.ip_source("fd00::/8"), x.masquerade())),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "chain", "expressions"), NAT_RULES, ids=[text for text, _, _ in NAT_RULES]
)
def test_a_translation_is_listed_as_nfts_own(
    netfilter: NetlinkSocket, text: str, chain: Chain, expressions: tuple[bytes, ...]
) -> None:
    rules_batch(expressions, chain=chain).commit(netfilter)
    ours = listing()
    nft("flush", "ruleset")
    hook = {"n": "prerouting priority -100", "p": "postrouting priority 100"}[chain.name]
    script = f"table inet t {{ chain {chain.name} {{ type nat hook {hook};\n {text}\n }}\n }}\n"
    nft("-f", "-", script=script)
    assert ours == listing()


def test_other_families_are_listed_as_nfts_own(netfilter: NetlinkSocket) -> None:
    rt_socket = NetlinkSocket(0)
    rt_socket.request([rt.link_add("br0", "bridge")])
    rt_socket.close()
    bridge = Table(NFPROTO.BRIDGE, "b", comment="guards")
    guard = Chain(bridge, "pre", "filter", HOOK.PREROUTING, priority=-300, comment="spoofing")
    raw = Table(V4, "r")
    early = Chain(raw, "pre", "filter", HOOK.PREROUTING, priority=-300)
    device = Table(NFPROTO.NETDEV, "d")
    ingress = Chain(device, "in", "filter", NETDEV_HOOK.INGRESS, -500, DROP, device="br0")
    batch = Batch()
    for table in (bridge, raw, device):
        batch.add_table(table)
    for chain in (guard, early, ingress):
        batch.add_chain(chain)
    port = m.input_link("ve1")
    for expressions in (
        (port, m.ethernet_source("02:42:ac:11:00:02", invert=True), x.verdict(DROP)),
        (port, m.ethernet_protocol(0x806), m.arp_sender("10.0.0.2", invert=True), x.verdict(DROP)),
        (port, m.ip_source("10.0.0.2", invert=True, table_family=NFPROTO.BRIDGE), x.verdict(DROP)),
        (port, m.ip_source("fd00::2", table_family=NFPROTO.BRIDGE), x.verdict(DROP)),
    ):
        batch.add_rule(Rule(guard, expressions, "guard"))
    set_address = (
        x.immediate(pack_ip("10.0.0.9")),
        x.payload_set(PAYLOAD.NETWORK, 16, 4, checksum_offset=10, pseudo_header=True),
        x.no_track(),
    )
    batch.add_rule(Rule(early, (m.ip_destination("10.0.0.2", table_family=V4), *set_address)))
    batch.commit(netfilter)
    ours = listing()
    nft("flush", "ruleset")
    nft("-f", "-", script="""
        table bridge b { comment "guards"
          chain pre { type filter hook prerouting priority -300; comment "spoofing"
            iifname "ve1" ether saddr != 02:42:ac:11:00:02 drop comment "guard"
            iifname "ve1" arp saddr ip != 10.0.0.2 drop comment "guard"
            iifname "ve1" ip saddr != 10.0.0.2 drop comment "guard"
            iifname "ve1" ip6 saddr fd00::2 drop comment "guard"
          }
        }
        table ip r { chain pre { type filter hook prerouting priority -300;
            ip daddr 10.0.0.2 ip daddr set 10.0.0.9 notrack
          }
        }
        table netdev d { chain in {
            type filter hook ingress device "br0" priority -500; policy drop;
          }
        }
    """)  # fmt: skip
    assert ours == listing()


SETS = {
    "nets": Set(TABLE, "nets", (KeyType.IPV4_ADDR,), flags=SET.INTERVAL, comment="ours"),
    "six": Set(TABLE, "six", (KeyType.IPV6_ADDR,), flags=SET.INTERVAL),
    "ports": Set(
        TABLE,
        "ports",
        (KeyType.IPV4_ADDR, KeyType.INET_PROTO, KeyType.INET_SERVICE),
        (KeyType.IPV4_ADDR, KeyType.INET_SERVICE),
    ),
    "ranges": Set(TABLE, "ranges", (KeyType.IPV4_ADDR, KeyType.INET_SERVICE), flags=SET.INTERVAL),
    "links": Set(TABLE, "links", (KeyType.IFNAME,), (KeyType.VERDICT,)),
    "pairs": Set(TABLE, "pairs", (KeyType.IFNAME, KeyType.IFNAME)),
    "macs": Set(TABLE, "macs", (KeyType.ETHER_ADDR, KeyType.IPV4_ADDR)),
    "raw": Set(
        TABLE,
        "raw",
        (KeyType.IFNAME, RawField(PAYLOAD.TRANSPORT, 0, 1), RawField(PAYLOAD.TRANSPORT, 8, 16)),
    ),
    "marks": Set(TABLE, "marks", (KeyType.INET_SERVICE,), (KeyType.MARK,)),
}
ELEMENTS = {
    "nets": [
        Element(pack_ip("10.0.0.0"), pack_ip("10.255.255.255")),
        Element(pack_ip("192.168.1.1")),
        Element(pack_ip("240.0.0.0"), pack_ip("255.255.255.255")),
    ],
    "six": [Element(pack_ip("fd00::"), pack_ip("fdff" + ":ffff" * 7))],
    "ports": [
        Element(
            join_key(pack_ip("127.0.0.1"), pack_protocol(TCP), pack_port(8080)),
            data=join_key(pack_ip("10.0.0.2"), pack_port(80)),
            comment="3f2a",
        )
    ],
    "ranges": [
        Element(
            join_key(pack_ip("10.0.0.0"), pack_port(80)),
            join_key(pack_ip("10.0.0.255"), pack_port(90)),
        )
    ],
    "links": [
        Element(pack_ifname("br0"), data=jump("r")),
        Element(pack_ifname("br1"), data=goto("r")),
        Element(pack_ifname("br2"), data=DROP),
    ],
    "pairs": [Element(join_key(pack_ifname("br0"), pack_ifname("eth0")))],
    "macs": [Element(join_key(bytes.fromhex("0242ac110002"), pack_ip("10.0.0.2")))],
    "raw": [Element(join_key(pack_ifname("br0"), b"\x88", pack_ip("fd00::2")))],
    "marks": [Element(pack_port(80), data=pack_mark(7))],
}
SETS_TEXT = """
    table inet t {
      set nets { type ipv4_addr; flags interval; comment "ours"
        elements = { 10.0.0.0/8, 192.168.1.1, 240.0.0.0/4 } }
      set six { type ipv6_addr; flags interval; elements = { fd00::/8 } }
      map ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
        elements = { 127.0.0.1 . tcp . 8080 comment "3f2a" : 10.0.0.2 . 80 } }
      set ranges { type ipv4_addr . inet_service; flags interval
        elements = { 10.0.0.0/24 . 80-90 } }
      map links { type ifname : verdict
        elements = { "br0" : jump r, "br1" : goto r, "br2" : drop } }
      set pairs { type ifname . ifname; elements = { "br0" . "eth0" } }
      set macs { type ether_addr . ipv4_addr; elements = { 02:42:ac:11:00:02 . 10.0.0.2 } }
      set raw { typeof iifname . @th,0,8 . @th,64,128
        elements = { "br0" . 0x88 . 0xfd000000000000000000000000000002 } }
      map marks { type inet_service : mark; elements = { 80 : 7 } }
      chain r { }
    }
"""


def sets_batch() -> Batch:
    batch = Batch().add_table(TABLE).add_chain(Chain(TABLE, "r"))
    for name, target in SETS.items():
        batch.add_set(target).add_elements(target, ELEMENTS[name])
    return batch


def sorted_listing(name: str, kind: str) -> list[str]:
    """A listing without the order of elements, which a hash decides."""
    text = nft("list", kind, "inet", "t", name)
    return sorted(part.strip(" \n\t{}") for part in text.replace("=", ",").split(","))


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_listed_as_nfts_own(netfilter: NetlinkSocket, name: str) -> None:
    kind = "map" if SETS[name].data else "set"
    sets_batch().commit(netfilter)
    ours = sorted_listing(name, kind)
    nft("flush", "ruleset")
    nft("-f", "-", script=SETS_TEXT)
    assert ours == sorted_listing(name, kind)


@pytest.mark.parametrize("name", SETS)
def test_elements_are_read_back_deleted_and_flushed(netfilter: NetlinkSocket, name: str) -> None:
    sets_batch().commit(netfilter)
    target = SETS[name]
    records = dump_elements(netfilter, TABLE, name)
    starts = {record.key: record for record in records if not record.is_interval_end}
    assert set(starts) == {element.key for element in ELEMENTS[name]}
    for element in ELEMENTS[name]:
        assert starts[element.key].data == element.data
        assert starts[element.key].comment == element.comment
    Batch().delete_elements(target, ELEMENTS[name][:1]).commit(netfilter)
    left = {r.key for r in dump_elements(netfilter, TABLE, name) if not r.is_interval_end}
    assert left == set(starts) - {ELEMENTS[name][0].key}
    Batch().flush_set(target).commit(netfilter)
    assert dump_elements(netfilter, TABLE, name) == []


def test_elements_expire(netfilter: NetlinkSocket) -> None:
    target = Set(TABLE, "s", (KeyType.IPV4_ADDR,), flags=SET.EVAL, timeout_ms=60000)
    batch = Batch().add_table(TABLE).add_set(target)
    batch.add_elements(target, [Element(pack_ip("1.1.1.1"), timeout_ms=5000)])
    batch.add_chain(CHAIN)
    learn = (m.ip_version(V4), m.load_ip(V4, destination=False))
    batch.add_rule(Rule(CHAIN, (*learn, x.dynset(DYNSET.UPDATE, "s", timeout_ms=9000))))
    batch.commit(netfilter)
    (record,) = dump_elements(netfilter, TABLE, "s")
    assert 0 < record.expires_ms <= 5000
    assert "update @s { ip saddr timeout 9s }" in listing()
    assert dump_sets(netfilter, TABLE)[0].flags & (SET.TIMEOUT | SET.EVAL)


def test_a_map_learns_with_data(netfilter: NetlinkSocket) -> None:
    target = Set(TABLE, "s", (KeyType.IPV4_ADDR,), (KeyType.MARK,), flags=SET.EVAL)
    learn = (m.ip_version(V4), m.load_ip(V4, destination=False), x.meta(META.MARK, 4))
    rule = Rule(CHAIN, (*learn, x.dynset(DYNSET.ADD, "s", data=4)))
    Batch().add_table(TABLE).add_set(target).add_chain(CHAIN).add_rule(rule).commit(netfilter)
    assert "add @s { ip saddr : meta mark }" in listing()


def test_lookups_and_load_balancing_are_accepted(netfilter: NetlinkSocket) -> None:
    batch = sets_batch().add_chain(CHAIN).add_chain(NAT_CHAIN)
    key = (
        m.load_ip(V4, destination=True), x.meta(META.L4PROTO, 1),
        m.load_port(destination=True, register=2),
    )  # fmt: skip
    published = (m.ip_version(V4), *key, x.lookup("ports", to=8))
    dnat = x.nat(NAT.DNAT, V4, address=8, port=9)
    batch.add_rule(Rule(NAT_CHAIN, (m.destination_is_local(), *published, dnat), "published"))
    by_link = (x.meta(META.IIFNAME), x.lookup("links", to=x.VERDICT))
    batch.add_rule(Rule(CHAIN, by_link))
    foreign = (m.ip_version(V4), m.load_ip(V4, destination=False), x.lookup("nets", invert=True))
    batch.add_rule(Rule(CHAIN, (*foreign, x.verdict(DROP))), first=True)
    batch.add_rule(Rule(CHAIN, (x.number_generator(3, random=True), x.meta_set(META.MARK))))
    batch.commit(netfilter)
    text = listing()
    assert 'dnat ip to ip daddr . meta l4proto . th dport map @ports comment "published"' in text
    assert text.index("ip saddr != @nets drop") < text.index("iifname vmap @links")
    assert "meta mark set numgen random mod 3" in text


def test_a_rule_without_a_guard_would_match_the_wrong_protocol() -> None:
    assert m.ip_version(V4, table_family=V4) == b""
    assert m.ip_version(V6) != m.ip_version(V6, table_family=NFPROTO.BRIDGE)


def test_a_refused_batch_changes_nothing_and_names_the_change(netfilter: NetlinkSocket) -> None:
    wrong = Chain(TABLE, "wrong", "nonsense", HOOK.FORWARD)
    batch = Batch().add_table(TABLE).add_chain(CHAIN).add_chain(wrong)
    with pytest.raises(linux.KernelError) as error:
        batch.commit(netfilter)
    assert str(error.value) == ("NFT_MSG_NEWCHAIN(inet t, chain wrong): No such file or directory")
    assert dump_tables(netfilter) == []
    Batch().add_table(TABLE).commit(netfilter)
    assert dump_tables(netfilter) == [TABLE]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda b: b.add_table(TABLE, exclusive=True), errno.EEXIST),
        (lambda b: b.add_chain(Chain(TABLE, "r"), exclusive=True), errno.EEXIST),
        (lambda b: b.add_set(SETS["nets"], exclusive=True), errno.EEXIST),
        (lambda b: b.add_elements(SETS["marks"], ELEMENTS["marks"], exclusive=True), errno.EEXIST),
        (lambda b: b.delete_elements(SETS["marks"], [Element(pack_port(1))]), errno.ENOENT),
        (lambda b: b.delete_chain(Chain(TABLE, "r")), errno.EBUSY),
        (lambda b: b.delete_chain(Chain(TABLE, "none")), errno.ENOENT),
        (lambda b: b.delete_table(Table(V4, "none")), errno.ENOENT),
        (lambda b: b.delete_rule(CHAIN, 99), errno.ENOENT),
        (lambda b: b.add_rule(Rule(Chain(TABLE, "r"), (x.lookup("none"),))), errno.ENOENT),
    ],
)
def test_refusals(netfilter: NetlinkSocket, change: Callable[[Batch], Batch], code: int) -> None:
    sets_batch().commit(netfilter)
    with pytest.raises(linux.KernelError) as error:
        change(Batch()).commit(netfilter)
    assert error.value.errno == code
    get_generation(netfilter)  # the socket goes on


def test_absent_things_are_deleted_without_complaint_when_told(netfilter: NetlinkSocket) -> None:
    sets_batch().commit(netfilter)
    absent = [Element(pack_port(1))]
    try:
        Batch().delete_elements(SETS["marks"], absent, missing_ok=True).commit(netfilter)
    except linux.KernelError as error:
        if os.uname().release >= "6.3":
            raise
        pytest.skip(f"DESTROYSETELEM needs Linux 6.3: {error}")
    Batch().delete_table(Table(V4, "none"), missing_ok=True).commit(netfilter)
    assert dump_tables(netfilter) == [TABLE]


def test_rules_are_found_by_comment_and_deleted_by_handle(netfilter: NetlinkSocket) -> None:
    batch = Batch().add_table(TABLE).add_chain(CHAIN)
    for name in ("one", "two", "three"):
        batch.add_rule(Rule(CHAIN, (m.input_link(name), x.verdict(DROP)), name))
    batch.commit(netfilter)
    rules = dump_rules(netfilter, TABLE, "c")
    assert [rule.comment for rule in rules] == ["one", "two", "three"]
    assert [name for name, _ in rules[0].expressions] == ["meta", "cmp", "immediate"]
    Batch().delete_rule(CHAIN, rules[1].handle).commit(netfilter)
    assert [rule.comment for rule in dump_rules(netfilter, TABLE)] == ["one", "three"]
    Batch().flush_chain(CHAIN).commit(netfilter)
    assert dump_rules(netfilter, TABLE) == []
    Batch().delete_chain(CHAIN).commit(netfilter)
    assert dump_chains(netfilter, TABLE) == []


def test_chains_are_read_back(netfilter: NetlinkSocket) -> None:
    base = Chain(TABLE, "b", "filter", HOOK.INPUT, priority=-7, policy=DROP)
    other = Table(V4, "other")
    batch = Batch().add_table(TABLE).add_chain(base).add_chain(Chain(TABLE, "r"))
    batch.add_table(other).add_chain(Chain(other, "x")).commit(netfilter)
    records = {record.name: record for record in dump_chains(netfilter, TABLE)}
    assert set(records) == {"b", "r"}
    record = records["b"]
    assert (record.kind, record.hook, record.priority, record.policy) == ("filter", 1, -7, 0)
    assert (records["r"].hook, records["r"].kind) == (None, "")
    assert dump_sets(netfilter, TABLE) == []
    Batch().delete_set(SETS["nets"])


def test_a_set_is_deleted(netfilter: NetlinkSocket) -> None:
    sets_batch().commit(netfilter)
    Batch().delete_set(SETS["nets"]).commit(netfilter)
    assert "nets" not in {record.name for record in dump_sets(netfilter, TABLE)}
    with pytest.raises(linux.KernelError, match="nftables set nets: No such file"):
        dump_elements(netfilter, TABLE, "nets")


def test_a_change_by_somebody_else_is_noticed(netfilter: NetlinkSocket) -> None:
    with NetlinkSocket(NETLINK_NETFILTER) as watcher:
        watcher.join(NFNLGRP_NFTABLES)
        generation = get_generation(netfilter)
        nft("add", "table", "inet", "foreign")
        changes = [parse_change(message) for message in watcher.receive_events()]
        changes += [parse_change(message) for message in watcher.receive_events()]
    assert changes[0] is not None
    assert (changes[0].message, changes[0].table) == (NFT_MSG.NEWTABLE, "foreign")
    assert changes[-1] is not None
    assert (changes[-1].message, changes[-1].program) == (NFT_MSG.NEWGEN, "nft")
    assert changes[-1].generation == get_generation(netfilter) == generation + 1
    with pytest.raises(linux.KernelError) as error:
        Batch().add_table(TABLE).commit(netfilter, generation=generation)
    assert error.value.errno == errno.ERESTART
    Batch().add_table(TABLE).commit(netfilter, generation=generation + 1)


def test_an_empty_batch_does_nothing(netfilter: NetlinkSocket) -> None:
    generation = get_generation(netfilter)
    batch = Batch()
    batch.commit(netfilter)
    assert len(batch) == 0
    assert get_generation(netfilter) == generation


def test_ten_thousand_elements_fit_one_batch(netfilter: NetlinkSocket) -> None:
    target = SETS["ports"]
    elements = [
        Element(
            join_key(pack_ip("127.0.0.1"), pack_protocol(TCP), pack_port(port)),
            data=join_key(pack_ip("10.0.0.2"), pack_port(port)),
        )
        for port in range(10000)
    ]
    Batch().add_table(TABLE).add_set(target).add_elements(target, elements).commit(netfilter)
    assert len(dump_elements(netfilter, TABLE, "ports")) == 10000


def test_comments_are_bounded() -> None:
    with pytest.raises(ValueError, match="a comment of more than 253 bytes"):
        Batch().add_rule(Rule(CHAIN, (), "x" * 254))


def test_a_long_link_name_is_refused() -> None:
    with pytest.raises(ValueError, match="not a link name"):
        m.input_link("x" * 16)


def test_without_privilege_the_batch_is_refused(netfilter: NetlinkSocket) -> None:
    pid = linux.fork()
    if pid == 0:
        linux.capset(0, 0, 0)
        code = 0
        try:
            Batch().add_table(TABLE).commit(NetlinkSocket(NETLINK_NETFILTER))
        except linux.KernelError as error:
            code = error.errno or 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EPERM


def test_a_published_port_reaches_the_container(
    netfilter: NetlinkSocket, other_namespace: int
) -> None:
    """The whole way: map element, translation, masquerading, a real connection."""
    peer = rt.link_peer("eth0", index=2, netns_fd=other_namespace)
    with NetlinkSocket(0) as host, in_network_namespace(other_namespace, 0) as sandbox:
        host.request(
            [
                rt.link_set("lo", up=True),
                rt.link_add("br0", "bridge", index=10, up=True),
                rt.address_add(10, "10.0.0.1/24"),
                rt.link_add("ve1", "veth", up=True, master=10, data=rt.veth_data(peer)),
            ]
        )
        sandbox.request(
            [
                rt.link_set(2, up=True),
                rt.address_add(2, "10.0.0.2/24"),
                rt.route_add("default", gateway="10.0.0.1"),
            ]
        )
    output = Chain(TABLE, "o", "nat", HOOK.OUTPUT, priority=-100)
    batch = Batch().add_table(TABLE).add_set(SETS["ports"]).add_chain(output).add_chain(POST)
    key = join_key(pack_ip("10.0.0.1"), pack_protocol(TCP), pack_port(8080))
    data = join_key(pack_ip("10.0.0.2"), pack_port(80))
    batch.add_elements(SETS["ports"], [Element(key, data=data)])
    load = (
        m.ip_version(V4), m.load_ip(V4, destination=True), x.meta(META.L4PROTO, 1),
        m.load_port(destination=True, register=2),
    )  # fmt: skip
    dnat = (x.lookup("ports", to=8), x.nat(NAT.DNAT, V4, address=8, port=9))
    batch.add_rule(Rule(output, (*load, *dnat)))
    batch.add_rule(Rule(POST, (m.output_link("br0"), x.counter(), x.masquerade())))
    batch.commit(netfilter)
    server = listen_inside(other_namespace, 80)

    def greet() -> None:
        with server.accept()[0] as connection:
            connection.sendall(b"hello")

    thread = threading.Thread(target=greet)
    thread.start()
    with socket.create_connection(("10.0.0.1", 8080), timeout=5) as client:
        assert client.recv(5) == b"hello"
    thread.join()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("10.0.0.1", 8081), timeout=5)


def listen_inside(namespace: int, port: int) -> socket.socket:
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    linux.setns(namespace, CLONE.NEWNET)
    try:
        server = socket.create_server(("0.0.0.0", port))
    finally:
        linux.setns(home, CLONE.NEWNET)
        os.close(home)
    return server
