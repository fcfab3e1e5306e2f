"""Expressions: the instructions a rule is made of, one function each.

A *register* is the number, 0 to 15, of a 32-bit word; wider data fill the words that follow (an
IPv6 address four, a link's name four, a port one). ``VERDICT`` as a lookup's destination makes a
verdict map decide.
"""

import struct

from cutaway.linux.netlink import attribute, attribute_be32, attribute_be64, attribute_text, nested
from cutaway.linux.nftables.abi import (
    CMP,
    CT,
    DYNSET,
    FIB_F,
    FIB_RESULT,
    ICMPX,
    META,
    NAT,
    NF_NAT_RANGE,
    NFPROTO,
    NFTA_DATA_VALUE,
    NFTA_DATA_VERDICT,
    NFTA_EXPR_DATA,
    NFTA_EXPR_NAME,
    NFTA_LIST_ELEM,
    NFTA_VERDICT_CHAIN,
    NFTA_VERDICT_CODE,
    PAYLOAD,
    REJECT,
)
from cutaway.linux.nftables.nouns import Verdict

VERDICT = -1
_NFT_REG_VERDICT = 0
_NFT_REG32_00 = 8


def _register(number: int) -> int:
    return _NFT_REG_VERDICT if number == VERDICT else _NFT_REG32_00 + number


def expression(name: str, *attributes: bytes) -> bytes:
    """Encode one expression as an element of a rule's list."""
    data = nested(NFTA_EXPR_DATA, *attributes)
    return nested(NFTA_LIST_ELEM, attribute_text(NFTA_EXPR_NAME, name), data)


def encode_data(kind: int, data: bytes | Verdict) -> bytes:
    """Encode a value or a verdict as the attribute ``kind``."""
    if isinstance(data, Verdict):
        parts = [attribute_be32(NFTA_VERDICT_CODE, data.code)]
        if data.chain:
            parts.append(attribute_text(NFTA_VERDICT_CHAIN, data.chain))
        return nested(kind, nested(NFTA_DATA_VERDICT, *parts))
    return nested(kind, attribute(NFTA_DATA_VALUE, data))


def meta(key: META, register: int = 0) -> bytes:
    """Load what is known of the packet beside its bytes."""
    return expression("meta", attribute_be32(1, _register(register)), attribute_be32(2, key))


def meta_set(key: META, register: int = 0) -> bytes:
    """Store: MARK, PRIORITY."""
    return expression("meta", attribute_be32(2, key), attribute_be32(3, _register(register)))


def payload(base: PAYLOAD, offset: int, length: int, register: int = 0) -> bytes:
    """Load bytes of a header."""
    return expression(
        "payload",
        attribute_be32(1, _register(register)),
        attribute_be32(2, base),
        attribute_be32(3, offset),
        attribute_be32(4, length),
    )


def exthdr(header: int, offset: int, length: int, register: int = 0) -> bytes:
    """Load bytes of an IPv6 extension header; 44 is a fragment's."""
    return expression(
        "exthdr",
        attribute_be32(1, _register(register)),
        attribute(2, bytes((header,))),
        attribute_be32(3, offset),
        attribute_be32(4, length),
    )


def has_exthdr(header: int, register: int = 0) -> bytes:
    """Load one byte: 1 if the IPv6 extension header is there, 0 if not."""
    return expression(
        "exthdr",
        attribute_be32(1, _register(register)),
        attribute(2, bytes((header,))),
        attribute_be32(3, 0),
        attribute_be32(4, 1),
        attribute_be32(5, 1),
    )


def payload_set(
    base: PAYLOAD,
    offset: int,
    length: int,
    register: int = 0,
    *,
    checksum_offset: int | None = None,
    pseudo_header: bool = False,
) -> bytes:
    """Write bytes of a header.

    Args:
        base: where ``offset`` counts from.
        offset: first byte.
        length: bytes.
        register: where they are.
        checksum_offset: of the header's own checksum, from ``base``, to be put right.
        pseudo_header: the transport's checksum covers the field (an IP address).
    """
    parts = [
        attribute_be32(5, _register(register)),
        attribute_be32(2, base),
        attribute_be32(3, offset),
        attribute_be32(4, length),
    ]
    if checksum_offset is not None:
        parts += [attribute_be32(6, 1), attribute_be32(7, checksum_offset)]
    if pseudo_header:
        parts.append(attribute_be32(8, 1))
    return expression("payload", *parts)


def compare(operator: CMP, data: bytes, register: int = 0) -> bytes:
    """Go on only if the register compares so with ``data``."""
    return expression(
        "cmp",
        attribute_be32(1, _register(register)),
        attribute_be32(2, operator),
        encode_data(3, data),
    )


def in_range(first: bytes, last: bytes, register: int = 0, *, invert: bool = False) -> bytes:
    """Go on only if the register is between ``first`` and ``last``, both included."""
    return expression(
        "range",
        attribute_be32(1, _register(register)),
        attribute_be32(2, int(invert)),
        encode_data(3, first),
        encode_data(4, last),
    )


def bitwise(mask: bytes, xor: bytes | None = None, register: int = 0) -> bytes:
    """Change the register to ``(register & mask) ^ xor``."""
    return expression(
        "bitwise",
        attribute_be32(1, _register(register)),
        attribute_be32(2, _register(register)),
        attribute_be32(3, len(mask)),
        encode_data(4, mask),
        encode_data(5, bytes(len(mask)) if xor is None else xor),
    )


def lookup(
    set_name: str, register: int = 0, *, to: int | None = None, invert: bool = False
) -> bytes:
    """Go on only if the key in the register is in the set.

    Args:
        set_name: of the same table.
        register: where the key starts.
        to: a map's data go there; ``VERDICT`` does what a verdict map says.
        invert: go on only if it is not in the set.
    """
    parts = [attribute_text(1, set_name), attribute_be32(2, _register(register))]
    if to is not None:
        parts.append(attribute_be32(3, _register(to)))
    if invert:
        parts.append(attribute_be32(5, 1))
    return expression("lookup", *parts)


def immediate(data: bytes, register: int = 0) -> bytes:
    """Load a constant."""
    return expression("immediate", attribute_be32(1, _register(register)), encode_data(2, data))


def verdict(value: Verdict) -> bytes:
    """Decide."""
    data = encode_data(2, value)
    return expression("immediate", attribute_be32(1, _NFT_REG_VERDICT), data)


def ct(key: CT, register: int = 0, *, direction: int | None = None) -> bytes:
    """Load what connection tracking knows; direction 0 is the original one, 1 the reply."""
    parts = [attribute_be32(1, _register(register)), attribute_be32(2, key)]
    if direction is not None:
        parts.append(attribute(3, bytes((direction,))))
    return expression("ct", *parts)


def ct_set(key: CT, register: int = 0) -> bytes:
    """Store: MARK."""
    return expression("ct", attribute_be32(2, key), attribute_be32(4, _register(register)))


def fib(result: FIB_RESULT, flags: FIB_F, register: int = 0) -> bytes:
    """Ask the routing table about the packet's addresses."""
    return expression(
        "fib",
        attribute_be32(1, _register(register)),
        attribute_be32(2, result),
        attribute_be32(3, flags),
    )


def nat(
    kind: NAT,
    family: NFPROTO,
    *,
    address: int | None = None,
    port: int | None = None,
    flags: NF_NAT_RANGE = NF_NAT_RANGE(0),
) -> bytes:
    """Translate the source or destination.

    Args:
        kind: SNAT or DNAT.
        family: IPV4 or IPV6, also in an inet table.
        address: register of the new address.
        port: register of the new port.
        flags: RANDOM, PERSISTENT, RANDOM_FULLY.
    """
    parts = [attribute_be32(1, kind), attribute_be32(2, family)]
    for number, register in ((3, address), (5, port)):
        if register is not None:
            parts.append(attribute_be32(number, _register(register)))
    if flags:
        parts.append(attribute_be32(7, flags))
    return expression("nat", *parts)


def masquerade(flags: NF_NAT_RANGE = NF_NAT_RANGE(0), *, port: int | None = None) -> bytes:
    """Translate the source to the address of the link the packet leaves by."""
    parts = [attribute_be32(1, flags)] if flags else []
    if port is not None:
        parts.append(attribute_be32(2, _register(port)))
    return expression("masq", *parts)


def redirect(port: int | None = None) -> bytes:
    """Send the packet to this host, to the port in the register ``port`` if given."""
    return expression("redir", *([] if port is None else [attribute_be32(1, _register(port))]))


def counter() -> bytes:
    """Count packets and bytes that come here."""
    return expression("counter", attribute_be64(1, 0), attribute_be64(2, 0))


def log(prefix: str = "", *, group: int | None = None, level: int | None = None) -> bytes:
    """Log the packet: to the kernel log, or with ``group`` to an nflog listener."""
    parts = []
    if group is not None:
        parts.append(attribute(1, struct.pack(">H", group)))
    if prefix:
        parts.append(attribute_text(2, prefix))
    if level is not None:
        parts.append(attribute_be32(5, level))
    return expression("log", *parts)


def reject(kind: REJECT = REJECT.ICMPX_UNREACH, code: int = ICMPX.PORT_UNREACH) -> bytes:
    """Drop the packet and tell its sender; ``code`` is without meaning for TCP_RST."""
    return expression("reject", attribute_be32(1, kind), attribute(2, bytes((code,))))


def limit(rate: int, unit_s: int = 1, *, burst: int = 5, invert: bool = False) -> bytes:
    """Go on for ``rate`` packets every ``unit_s`` seconds; inverted, for those beyond."""
    return expression(
        "limit",
        attribute_be64(1, rate),
        attribute_be64(2, unit_s),
        attribute_be32(3, burst),
        attribute_be32(4, 0),
        attribute_be32(5, int(invert)),
    )


def no_track() -> bytes:
    """Keep the packet out of connection tracking."""
    return expression("notrack")


def number_generator(modulus: int, register: int = 0, *, random: bool = False) -> bytes:
    """Load 0 to ``modulus - 1`` in turn, or at random; to choose among several servers."""
    return expression(
        "numgen",
        attribute_be32(1, _register(register)),
        attribute_be32(2, modulus),
        attribute_be32(3, int(random)),
    )


def dynset(
    operation: DYNSET,
    set_name: str,
    register: int = 0,
    *,
    data: int | None = None,
    timeout_ms: int = 0,
) -> bytes:
    """Add, refresh or delete the key in the register; the set needs the flag EVAL."""
    parts = [
        attribute_text(1, set_name),
        attribute_be32(3, operation),
        attribute_be32(4, _register(register)),
    ]
    if data is not None:
        parts.append(attribute_be32(5, _register(data)))
    if timeout_ms:
        parts.append(attribute_be64(6, timeout_ms))
    return expression("dynset", *parts)
