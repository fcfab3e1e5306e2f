"""One rule on one packet, as nf_tables runs it, in three values. Pure.

A register is 4 bytes; ``None`` in place of bytes is what can't be known here. A comparison of what
is not known is ``UNKNOWN``: the rule may match.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from cutaway.linux.netlink import parse_attributes, parse_be, parse_text
from cutaway.linux.nftables import DROP, Verdict, pack_ifname
from cutaway.linux.nftables.abi import (
    CMP,
    CT,
    CT_STATE,
    CT_STATUS,
    FIB_RESULT,
    META,
    NFTA_DATA_VALUE,
    NFTA_DATA_VERDICT,
    NFTA_VERDICT_CHAIN,
    NFTA_VERDICT_CODE,
    PAYLOAD,
)
from cutaway.linux.nftables.dumps import ElementRecord
from cutaway.network.firewall.sets import PROTOCOL_NUMBERS
from cutaway.network.firewall.tracing.packet import Packet

_RTN_UNICAST, _RTN_LOCAL = 1, 2
_VERDICT_REGISTER = 0
_FIRST_32BIT_REGISTER = 8
_SOURCE_MATCHES_BY_STATE_ONLY = 1  # XT_CONNTRACK_STATE
_XT_STATE_OFFSET = 146  # xt_conntrack_mtinfo3: match_flags, invert_flags, state_mask
_HARMLESS = {"counter", "log", "limit", "notrack", "quota", "last", "objref", "connlimit", "dynset"}
_TRANSLATIONS = {"nat", "masq", "redir", "tproxy"}


class Match(Enum):
    """Whether an expression lets the rule go on."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class _Stop(Exception):  # noqa: N818 - no error: the rule does not match
    """The rule does not match."""


@dataclass(slots=True)
class Machine:
    """Runs expressions; ``elements`` finds a set of the rule's own table."""

    packet: Packet
    elements: Callable[[str], Sequence[ElementRecord] | None]
    is_certain: bool = True
    verdict: Verdict | None = None
    _registers: dict[int, bytes | None] = field(default_factory=dict)

    def run(self, expressions: Sequence[tuple[str, bytes]]) -> Match:
        """Run a rule; ``verdict`` and ``is_certain`` say the rest."""
        try:
            for name, data in expressions:
                self._one(name, parse_attributes(data))
        except _Stop:
            return Match.NO
        return Match.YES if self.is_certain else Match.UNKNOWN

    def _one(self, name: str, attributes: dict[int, bytes]) -> None:
        method = getattr(self, f"_{name}", None)
        if method is not None:
            method(attributes)
        elif name in _TRANSLATIONS:
            self.verdict = Verdict(1)
        elif name == "reject":
            self.verdict = DROP
        elif name not in _HARMLESS:
            self.is_certain = False

    # Registers: nf_tables counts four of 16 bytes, then the same memory as sixteen of 4.

    def _index(self, number: int) -> int:
        if number >= _FIRST_32BIT_REGISTER:
            return number - _FIRST_32BIT_REGISTER
        return (number - 1) * 4

    def _store(self, number: int, value: bytes | None) -> None:
        index = self._index(number)
        if value is None:
            self._registers[index] = None
            return
        padded = value + bytes(-len(value) % 4)
        for offset in range(0, len(padded), 4):
            self._registers[index + offset // 4] = padded[offset : offset + 4]

    def _load(self, number: int, length: int) -> bytes | None:
        index = self._index(number)
        words = [self._registers.get(i) for i in range(index, index + (length + 3) // 4)]
        if any(word is None for word in words):
            return None
        return b"".join(word for word in words if word is not None)[:length]

    def _decide(self, matched: bool | None) -> None:
        if matched is None:
            self.is_certain = False
        elif not matched:
            raise _Stop

    # Loads.

    def _meta(self, found: dict[int, bytes]) -> None:
        if 3 in found:
            return  # stores a mark
        packet = self.packet
        values: dict[int, bytes] = {
            META.IIFNAME: pack_ifname(packet.in_link),
            META.OIFNAME: pack_ifname(packet.out_link),
            META.L4PROTO: bytes((PROTOCOL_NUMBERS[packet.protocol],)),
            META.NFPROTO: bytes((packet.family,)),
            META.PROTOCOL: b"\x08\x00" if packet.family == 2 else b"\x86\xdd",
            META.MARK: bytes(4),
        }
        self._store(parse_be(found[1]), values.get(parse_be(found[2])))

    def _payload(self, found: dict[int, bytes]) -> None:
        if 5 in found:
            return  # writes a header
        headers: dict[int, bytes] = {
            PAYLOAD.NETWORK: self.packet.network_header(),
            PAYLOAD.TRANSPORT: self.packet.transport_header(),
        }
        offset, length = parse_be(found[3]), parse_be(found[4])
        header = headers.get(parse_be(found[2]), b"")
        value = header[offset : offset + length]
        self._store(parse_be(found[1]), value if len(value) == length else None)

    def _ct(self, found: dict[int, bytes]) -> None:
        if 1 not in found:
            return  # stores a mark
        status = CT_STATUS.DNAT if self.packet.is_translated else CT_STATUS(0)
        values: dict[int, bytes] = {
            CT.STATE: struct.pack("=I", CT_STATE.NEW),
            CT.STATUS: struct.pack("=I", status),
            CT.MARK: bytes(4),
            CT.DIRECTION: b"\0",
        }
        self._store(parse_be(found[1]), values.get(parse_be(found[2])))

    def _fib(self, found: dict[int, bytes]) -> None:
        value = None
        if parse_be(found[2]) == FIB_RESULT.ADDRTYPE:
            kind = _RTN_LOCAL if self.packet.to_host else _RTN_UNICAST
            value = struct.pack("=I", kind)
        self._store(parse_be(found[1]), value)

    def _immediate(self, found: dict[int, bytes]) -> None:
        data = parse_attributes(found[2])
        if NFTA_DATA_VERDICT in data:
            self.verdict = _read_verdict(data[NFTA_DATA_VERDICT])
        else:
            self._store(parse_be(found[1]), data[NFTA_DATA_VALUE])

    def _bitwise(self, found: dict[int, bytes]) -> None:
        length = parse_be(found[3])
        value = self._load(parse_be(found[1]), length)
        if value is not None and 4 in found and 5 in found:
            mask, xor = (parse_attributes(found[i])[NFTA_DATA_VALUE] for i in (4, 5))
            value = bytes(v & m ^ x for v, m, x in zip(value, mask, xor, strict=True))
        else:
            value = None
        self._store(parse_be(found[2]), value)

    # Comparisons.

    def _cmp(self, found: dict[int, bytes]) -> None:
        wanted = parse_attributes(found[3])[NFTA_DATA_VALUE]
        value = self._load(parse_be(found[1]), len(wanted))
        if value is None:
            self._decide(None)
            return
        results = {
            CMP.EQ: value == wanted,
            CMP.NEQ: value != wanted,
            CMP.LT: value < wanted,
            CMP.LTE: value <= wanted,
            CMP.GT: value > wanted,
            CMP.GTE: value >= wanted,
        }
        self._decide(results[CMP(parse_be(found[2]))])

    def _range(self, found: dict[int, bytes]) -> None:
        first, last = (parse_attributes(found[i])[NFTA_DATA_VALUE] for i in (3, 4))
        value = self._load(parse_be(found[1]), len(first))
        inverted = bool(parse_be(found.get(2, b"\0")))
        self._decide(None if value is None else (first <= value <= last) is not inverted)

    def _lookup(self, found: dict[int, bytes]) -> None:
        elements = self.elements(parse_text(found[1]))
        inverted = bool(parse_be(found.get(5, b"\0")) & 1)
        if elements is None:
            self._decide(None)
            return
        length = max((len(e.key) for e in elements), default=0)
        value = self._load(parse_be(found[2]), length)
        if value is None:
            self._decide(None)
            return
        element = find_element(elements, value)
        if 3 in found:
            self._decide(element is not None)
            if element is not None and parse_be(found[3]) == _VERDICT_REGISTER:
                self.verdict = element.data if isinstance(element.data, Verdict) else None
            elif element is not None and isinstance(element.data, bytes):
                self._store(parse_be(found[3]), element.data)
            return
        self._decide((element is not None) is not inverted)

    # iptables-nft's own matches and targets.

    def _match(self, found: dict[int, bytes]) -> None:
        info = found.get(3, b"")
        if parse_text(found[1]) == "conntrack" and len(info) >= _XT_STATE_OFFSET + 6:
            match, inverted, states = struct.unpack_from("=HHH", info, _XT_STATE_OFFSET)
            if match == _SOURCE_MATCHES_BY_STATE_ONLY:
                self._decide(bool(states & CT_STATE.NEW) is not bool(inverted & 1))
                return
        if parse_text(found[1]) != "comment":
            self._decide(None)

    def _target(self, found: dict[int, bytes]) -> None:
        name = parse_text(found[1])
        if name == "REJECT":
            self.verdict = DROP
        elif name in {"DNAT", "SNAT", "MASQUERADE", "REDIRECT"}:
            self.verdict = Verdict(1)


def _read_verdict(data: bytes) -> Verdict:
    parts = parse_attributes(data)
    code = int.from_bytes(parts[NFTA_VERDICT_CODE], "big", signed=True)
    return Verdict(code, parse_text(parts.get(NFTA_VERDICT_CHAIN, b"")))


def find_element(elements: Sequence[ElementRecord], key: bytes) -> ElementRecord | None:
    """Find a key among a set's elements, single ones and intervals."""
    best: ElementRecord | None = None
    for element in elements:
        if element.key_end:
            if _is_within(element, key):
                return element
        elif element.key == key and not element.is_interval_end:
            return element
        elif element.key <= key and (best is None or element.key > best.key):
            best = element
    has_intervals = any(e.is_interval_end for e in elements)
    return best if has_intervals and best is not None and not best.is_interval_end else None


def _is_within(element: ElementRecord, key: bytes) -> bool:
    words = range(0, len(key), 4)
    return all(
        element.key[i : i + 4] <= key[i : i + 4] <= element.key_end[i : i + 4] for i in words
    )
