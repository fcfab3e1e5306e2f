"""nftables: tables, chains, sets and rules as values; changes as one atomic batch.

The problem: the ``nft`` program costs a process and a parse of its language for each change; one
map element takes 200 ms with it and 0.02 ms with a message of our own.

The model: ``Table``, ``Chain``, ``Set``, ``Element`` and ``Rule`` are frozen values. A ``Batch``
collects their additions and deletions; ``Batch.commit(socket)`` sends all in one sendmsg(2), and
the kernel does all or nothing. A rule is a list of *expressions*: small instructions on sixteen
32-bit registers (load a header field, compare, look up in a set, give a verdict). ``expressions``
has one function for each; ``matches`` joins them into what the nft language calls a match.

    table = Table(NFPROTO.INET, "cutaway")
    chain = Chain(table, "post", "nat", HOOK.POSTROUTING, priority=100)
    batch = Batch().add_table(table).add_chain(chain)
    batch.add_rule(Rule(chain, (matches.ip_source("172.17.0.0/16"), expressions.masquerade())))
    batch.commit(socket)

Read ``nouns.py``, ``expressions.py``, ``matches.py``, ``batch.py``, ``dumps.py``; numbers are in
``abi.py``.

Docker's counterpart: the iptables program; since 29 the nft program. Source: the kernel's
``net/netfilter/nf_tables_api.c`` and what ``nft`` and ``libnftnl`` send and show.
"""

from cutaway.linux.netlink import NETLINK_NETFILTER, NetlinkSocket, in_network_namespace
from cutaway.linux.nftables import expressions, matches
from cutaway.linux.nftables.abi import HOOK, NETDEV_HOOK, NFNLGRP_NFTABLES, NFPROTO, SET
from cutaway.linux.nftables.batch import Batch
from cutaway.linux.nftables.dumps import (
    ChainRecord,
    Change,
    ElementRecord,
    RuleRecord,
    SetRecord,
    dump_chains,
    dump_elements,
    dump_rules,
    dump_sets,
    dump_tables,
    get_generation,
    parse_change,
)
from cutaway.linux.nftables.nouns import (
    ACCEPT,
    CONTINUE,
    DROP,
    RETURN,
    Chain,
    Element,
    KeyType,
    RawField,
    Rule,
    Set,
    Table,
    Verdict,
    goto,
    join_key,
    jump,
    pack_ifindex,
    pack_ifname,
    pack_mark,
    pack_port,
    pack_protocol,
)

__all__ = [
    "ACCEPT",
    "CONTINUE",
    "DROP",
    "HOOK",
    "NETDEV_HOOK",
    "NETLINK_NETFILTER",
    "NFNLGRP_NFTABLES",
    "NFPROTO",
    "RETURN",
    "SET",
    "Batch",
    "Chain",
    "ChainRecord",
    "Change",
    "Element",
    "ElementRecord",
    "KeyType",
    "NetlinkSocket",
    "RawField",
    "Rule",
    "RuleRecord",
    "Set",
    "SetRecord",
    "Table",
    "Verdict",
    "dump_chains",
    "dump_elements",
    "dump_rules",
    "dump_sets",
    "dump_tables",
    "expressions",
    "get_generation",
    "goto",
    "in_network_namespace",
    "join_key",
    "jump",
    "matches",
    "pack_ifindex",
    "pack_ifname",
    "pack_mark",
    "pack_port",
    "pack_protocol",
    "parse_change",
]
