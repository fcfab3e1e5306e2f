"""From a question's bytes to an answer's. Pure; the codec is dnslib's.

What a container is called is answered here, everything else is forwarded. The first question of a
query is the only one (as in every server since RFC 1035's idea of several never worked).

Docker's counterpart: libnetwork's ``resolver.go``. Source: RFC 1035, 3596 (AAAA), 6891 (EDNS).
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from dnslib import AAAA, PTR, QTYPE, RCODE, RR, A, DNSError, DNSHeader, DNSRecord

from cutaway.network.userland.protocol import SandboxNames
from cutaway.network.userland.records import Records

TTL_S = 600
UDP_SIZE = 512
MAX_UDP_SIZE = 4096
MAX_QUERY_SIZE = 4096

_HEADER = struct.Struct(">HHHHHH")
_QR_BIT = 0x8000
_OPCODE_MASK = 0x7800
_TC_BIT = 0x0200


@dataclass(frozen=True, slots=True)
class Forward:
    """Ask upstream: no container is called so."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say nothing: the packet is no query."""


def answer(query: bytes, records: Records, sandbox: SandboxNames) -> bytes | Forward | Refuse:
    """Answer a query from the records.

    Args:
        query: as it came.
        records: everybody's names.
        sandbox: who asks.

    Returns:
        The whole answer, not yet cut to a datagram's size; or what else to do.
    """
    if not 12 < len(query) <= MAX_QUERY_SIZE:
        return Refuse()
    _, flags, questions, *_ = _HEADER.unpack_from(query)
    if flags & _QR_BIT:
        return Refuse()  # an answer: two servers must not begin to talk to each other
    if flags & _OPCODE_MASK or questions != 1:
        return error_answer(query, RCODE.NOTIMP)
    try:
        record = DNSRecord.parse(query)
    except (DNSError, ValueError, IndexError, struct.error):
        return error_answer(query, RCODE.FORMERR)
    name = _plain(str(record.q.qname))
    kind = record.q.qtype
    if kind == QTYPE.PTR:
        return _answer_pointer(record, records, sandbox, name)
    found = records.find(sandbox, name, 6 if kind == QTYPE.AAAA else 4)
    if found is None:
        return Forward() if sandbox.forwards else error_answer(query, RCODE.SERVFAIL)
    reply = record.reply(ra=1, aa=0)
    if kind in (QTYPE.A, QTYPE.AAAA):
        for address in found.addresses:
            data = A(address) if kind == QTYPE.A else AAAA(address)
            reply.add_answer(RR(record.q.qname, kind, ttl=TTL_S, rdata=data))
    # Any other type of a name that is ours: it exists and has none (RFC 2308's NODATA).
    return bytes(reply.pack())


def _plain(name: str) -> str:
    return name.removesuffix(".")


def _answer_pointer(
    record: DNSRecord, records: Records, sandbox: SandboxNames, name: str
) -> bytes | Forward:
    address = address_of_pointer(name)
    found = records.find_address(sandbox, address) if address else None
    if found is None:
        if sandbox.forwards:
            return Forward()
        return error_answer(bytes(record.pack()), RCODE.SERVFAIL)
    reply = record.reply(ra=1, aa=0)
    reply.add_answer(RR(record.q.qname, QTYPE.PTR, ttl=TTL_S, rdata=PTR(found)))
    return bytes(reply.pack())


def address_of_pointer(name: str) -> str:
    """Return the address that ``2.0.17.172.in-addr.arpa`` asks about; empty for none."""
    lower = name.lower()
    try:
        if lower.endswith(".in-addr.arpa"):
            return str(IPv4Address(".".join(reversed(lower[:-13].split(".")))))
        if lower.endswith(".ip6.arpa"):
            digits = "".join(reversed(lower[:-9].split(".")))
            return str(IPv6Address(int(digits, 16))) if len(digits) == 32 else ""
    except ValueError:
        return ""
    return ""


def error_answer(query: bytes, code: int) -> bytes:
    """Return an answer that says what went wrong, with the question if it can be read."""
    identifier, flags, *_ = _HEADER.unpack_from(query)
    header = DNSHeader(id=identifier, qr=1, ra=1, rd=(flags >> 8) & 1, rcode=code)
    try:
        question = DNSRecord.parse(query).questions[:1]
    except (DNSError, ValueError, IndexError, struct.error):
        question = []
    return bytes(DNSRecord(header, questions=question).pack())


def datagram_size(query: bytes) -> int:
    """Return how large an answer the asker takes by UDP (EDNS, else 512)."""
    try:
        record = DNSRecord.parse(query)
    except (DNSError, ValueError, IndexError, struct.error):
        return UDP_SIZE
    for extra in record.ar:
        if extra.rtype == QTYPE.OPT:
            return max(UDP_SIZE, min(int(extra.rclass), MAX_UDP_SIZE))
    return UDP_SIZE


def fit(reply: bytes, size: int) -> bytes:
    """Return the answer, or when it is too large its head with the bit that says "ask by TCP"."""
    if len(reply) <= size:
        return reply
    parsed = DNSRecord.parse(reply)
    head = DNSRecord(parsed.header, questions=parsed.questions)
    head.header.tc = 1
    return bytes(head.pack())


def matches_query(query: bytes, reply: bytes) -> bool:
    """The reply is one to this query: the question is the same, letter case and all.

    The id was checked before; a forged answer must guess it, the port and the question.
    """
    if len(reply) < 12 or not _HEADER.unpack_from(reply)[1] & _QR_BIT:
        return False
    if _HEADER.unpack_from(reply)[2] == 0:
        return True  # an error without the question
    end = question_end(query)
    return end > 0 and reply[12:end].lower() == query[12:end].lower()


def question_end(query: bytes) -> int:
    """Return where the first question ends; 0 when it does not."""
    offset = 12
    while offset < len(query):
        length = query[offset]
        if length == 0:
            return offset + 5 if offset + 5 <= len(query) else 0
        if length > 63:
            return 0  # no compression in a question: a pointer there could loop
        offset += length + 1
    return 0
