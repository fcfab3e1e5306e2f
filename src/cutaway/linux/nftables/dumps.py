"""What the kernel's rule set holds, and what changes in it."""

import struct
from dataclasses import dataclass

from cutaway.linux.netlink import (
    Message,
    NetlinkSocket,
    Request,
    attribute_text,
    iterate_attributes,
    parse_attributes,
    parse_be,
    parse_text,
)
from cutaway.linux.nftables.abi import (
    CHAIN,
    CHAIN_HOOK,
    ELEMENT,
    ELEMENT_INTERVAL_END,
    ELEMENT_LIST,
    NFNL_SUBSYS_NFTABLES,
    NFPROTO,
    NFT_MSG,
    NFTA_DATA_VALUE,
    NFTA_DATA_VERDICT,
    NFTA_EXPR_DATA,
    NFTA_EXPR_NAME,
    NFTA_GEN_ID,
    NFTA_GEN_PROC_NAME,
    NFTA_GEN_PROC_PID,
    NFTA_VERDICT_CHAIN,
    NFTA_VERDICT_CODE,
    RULE,
    SET,
    SET_ATTR,
    TABLE,
)
from cutaway.linux.nftables.nouns import Table, Verdict

_NFGENMSG = struct.Struct(">BBH")
_COMMENT = 0
_ANY_FAMILY = 0


@dataclass(frozen=True, slots=True)
class ChainRecord:
    """A chain as the kernel tells it; ``hook`` is None for a regular one."""

    table: Table
    name: str
    kind: str
    hook: int | None
    priority: int
    policy: int
    device: str
    handle: int


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """A rule as the kernel tells it: ``expressions`` is a tuple of (name, attribute bytes)."""

    table: Table
    chain: str
    handle: int
    comment: str
    expressions: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class SetRecord:
    """A set or map as the kernel tells it."""

    table: Table
    name: str
    flags: SET
    key_length: int
    handle: int


@dataclass(frozen=True, slots=True)
class ElementRecord:
    """An element as the kernel tells it.

    An interval of a one-field set is two elements: its first key, and with ``is_interval_end``
    the first key after it.
    """

    key: bytes
    key_end: bytes
    data: bytes | Verdict | None
    is_interval_end: bool
    expires_ms: int
    comment: str


@dataclass(frozen=True, slots=True)
class Change:
    """An event of the rule set, from the multicast group NFNLGRP_NFTABLES.

    Attributes:
        message: NEWRULE, DELTABLE, …; NEWGEN ends each transaction.
        family: the table's.
        table: its name; empty for NEWGEN.
        pid: of NEWGEN: who did it.
        program: of NEWGEN: that process's ``comm``.
        generation: of NEWGEN.
    """

    message: NFT_MSG
    family: int
    table: str
    pid: int = 0
    program: str = ""
    generation: int = 0


def _dump(
    netlink: NetlinkSocket, message: NFT_MSG, family: int, what: str, *, wanted: bytes = b""
) -> list[bytes]:
    kind = NFNL_SUBSYS_NFTABLES << 8 | message
    request = Request(kind, 0, _NFGENMSG.pack(family, 0, 0) + wanted, f"nftables {what}")
    return netlink.dump(request)


def _parse_comment(user_data: bytes) -> str:
    """Return the comment in the nft program's user data, type-length-value after each other."""
    offset = 0
    while offset + 2 <= len(user_data):
        kind, length = user_data[offset], user_data[offset + 1]
        if kind == _COMMENT:
            return parse_text(user_data[offset + 2 : offset + 2 + length])
        offset += 2 + length
    return ""


def _table(body: bytes, name: bytes) -> Table:
    return Table(NFPROTO(body[0]), parse_text(name))


def dump_tables(netlink: NetlinkSocket, family: int = _ANY_FAMILY) -> list[Table]:
    """Return the tables, with their comments."""
    tables = []
    for body in _dump(netlink, NFT_MSG.GETTABLE, family, "tables"):
        found = parse_attributes(body, 4)
        comment = _parse_comment(found.get(TABLE.USERDATA, b""))
        tables.append(Table(NFPROTO(body[0]), parse_text(found[TABLE.NAME]), comment))
    return tables


def dump_chains(netlink: NetlinkSocket, table: Table) -> list[ChainRecord]:
    """Return a table's chains; the empty list also when there is no such table."""
    chains = []
    for body in _dump(netlink, NFT_MSG.GETCHAIN, table.family, "chains"):
        found = parse_attributes(body, 4)
        if parse_text(found[CHAIN.TABLE]) != table.name:
            continue
        hook = parse_attributes(found.get(CHAIN.HOOK, b""))
        priority = int.from_bytes(hook.get(CHAIN_HOOK.PRIORITY, b"\0"), "big", signed=True)
        chains.append(
            ChainRecord(
                table=_table(body, found[CHAIN.TABLE]),
                name=parse_text(found[CHAIN.NAME]),
                kind=parse_text(found.get(CHAIN.TYPE, b"")),
                hook=parse_be(hook[CHAIN_HOOK.HOOKNUM]) if hook else None,
                priority=priority,
                policy=parse_be(found.get(CHAIN.POLICY, b"\1")),
                device=parse_text(hook.get(CHAIN_HOOK.DEV, b"")),
                handle=parse_be(found[CHAIN.HANDLE]),
            )
        )
    return chains


def _parse_expressions(data: bytes) -> tuple[tuple[str, bytes], ...]:
    expressions = []
    for _, element in iterate_attributes(data):
        parts = parse_attributes(element)
        name = parse_text(parts[NFTA_EXPR_NAME])
        expressions.append((name, parts.get(NFTA_EXPR_DATA, b"")))
    return tuple(expressions)


def dump_rules(netlink: NetlinkSocket, table: Table, chain: str = "") -> list[RuleRecord]:
    """Return the rules of a table, or of one chain, in order; empty when there is none such."""
    wanted = attribute_text(RULE.TABLE, table.name)
    if chain:
        wanted += attribute_text(RULE.CHAIN, chain)
    rules = []
    for body in _dump(netlink, NFT_MSG.GETRULE, table.family, "rules", wanted=wanted):
        found = parse_attributes(body, 4)
        rules.append(
            RuleRecord(
                table=_table(body, found[RULE.TABLE]),
                chain=parse_text(found[RULE.CHAIN]),
                handle=parse_be(found[RULE.HANDLE]),
                comment=_parse_comment(found.get(RULE.USERDATA, b"")),
                expressions=_parse_expressions(found.get(RULE.EXPRESSIONS, b"")),
            )
        )
    return rules


def dump_sets(netlink: NetlinkSocket, table: Table) -> list[SetRecord]:
    """Return a table's sets and maps.

    Raises:
        KernelError: ENOENT (no such table).
    """
    wanted = attribute_text(SET_ATTR.TABLE, table.name)
    sets = []
    for body in _dump(netlink, NFT_MSG.GETSET, table.family, "sets", wanted=wanted):
        found = parse_attributes(body, 4)
        sets.append(
            SetRecord(
                table=_table(body, found[SET_ATTR.TABLE]),
                name=parse_text(found[SET_ATTR.NAME]),
                flags=SET(parse_be(found.get(SET_ATTR.FLAGS, b"\0"))),
                key_length=parse_be(found[SET_ATTR.KEY_LEN]),
                handle=parse_be(found[SET_ATTR.HANDLE]),
            )
        )
    return sets


def _parse_data(data: bytes | None) -> bytes | Verdict | None:
    if data is None:
        return None
    parts = parse_attributes(data)
    if NFTA_DATA_VERDICT in parts:
        verdict = parse_attributes(parts[NFTA_DATA_VERDICT])
        code = int.from_bytes(verdict[NFTA_VERDICT_CODE], "big", signed=True)
        return Verdict(code, parse_text(verdict.get(NFTA_VERDICT_CHAIN, b"")))
    return parts[NFTA_DATA_VALUE]


def _parse_key(data: bytes | None) -> bytes:
    return parse_attributes(data).get(NFTA_DATA_VALUE, b"") if data else b""


def dump_elements(netlink: NetlinkSocket, table: Table, set_name: str) -> list[ElementRecord]:
    """Return a set's elements, in no certain order.

    Raises:
        KernelError: ENOENT (no such table or set).
    """
    wanted = attribute_text(ELEMENT_LIST.TABLE, table.name)
    wanted += attribute_text(ELEMENT_LIST.SET, set_name)
    elements = []
    for body in _dump(netlink, NFT_MSG.GETSETELEM, table.family, f"set {set_name}", wanted=wanted):
        for _, element in iterate_attributes(
            parse_attributes(body, 4).get(ELEMENT_LIST.ELEMENTS, b"")
        ):
            found = parse_attributes(element)
            flags = parse_be(found.get(ELEMENT.FLAGS, b"\0"))
            elements.append(
                ElementRecord(
                    key=_parse_key(found.get(ELEMENT.KEY)),
                    key_end=_parse_key(found.get(ELEMENT.KEY_END)),
                    data=_parse_data(found.get(ELEMENT.DATA)),
                    is_interval_end=bool(flags & ELEMENT_INTERVAL_END),
                    expires_ms=parse_be(found.get(ELEMENT.EXPIRATION, b"\0")),
                    comment=_parse_comment(found.get(ELEMENT.USERDATA, b"")),
                )
            )
    return elements


def get_generation(netlink: NetlinkSocket) -> int:
    """Return the number that every change of the rule set increments."""
    kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG.GETGEN
    request = Request(kind, 0, _NFGENMSG.pack(0, 0, 0), "nftables generation")
    (reply,) = netlink.request([request])
    return parse_be(parse_attributes(reply.body, 4)[NFTA_GEN_ID])


def parse_change(message: Message) -> Change | None:
    """Read an event; None for one that is not of nftables or of a kind not known here."""
    if message.kind >> 8 != NFNL_SUBSYS_NFTABLES:
        return None
    try:
        kind = NFT_MSG(message.kind & 0xFF)
    except ValueError:
        return None
    found = parse_attributes(message.body, 4)
    family = message.body[0]
    if kind is NFT_MSG.NEWGEN:
        return Change(
            message=kind,
            family=family,
            table="",
            pid=parse_be(found.get(NFTA_GEN_PROC_PID, b"\0")),
            program=parse_text(found.get(NFTA_GEN_PROC_NAME, b"")),
            generation=parse_be(found[NFTA_GEN_ID]),
        )
    return Change(message=kind, family=family, table=parse_text(found.get(TABLE.NAME, b"")))
