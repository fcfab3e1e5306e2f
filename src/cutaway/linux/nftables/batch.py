"""Batch: many changes to the rule set, all done or none."""

import struct
from collections.abc import Iterable, Iterator, Sequence

from cutaway.linux.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NetlinkSocket,
    Request,
    attribute,
    attribute_be32,
    attribute_be64,
    attribute_text,
    nested,
)
from cutaway.linux.nftables.abi import (
    BYTEORDER_BIG,
    BYTEORDER_HOST,
    CHAIN,
    CHAIN_HOOK,
    ELEMENT,
    ELEMENT_INTERVAL_END,
    ELEMENT_LIST,
    META,
    NFNL_BATCH_GENID,
    NFNL_MSG_BATCH_BEGIN,
    NFNL_MSG_BATCH_END,
    NFNL_SUBSYS_NFTABLES,
    NFT_DATA_VERDICT,
    NFT_MSG,
    NFTA_LIST_ELEM,
    NFTA_SET_DESC_CONCAT,
    NFTA_SET_FIELD_LEN,
    RULE,
    SET,
    SET_ATTR,
    TABLE,
    TYPEOF,
    UDATA,
)
from cutaway.linux.nftables.expressions import encode_data
from cutaway.linux.nftables.nouns import Chain, Element, KeyType, RawField, Rule, Set, Table

_NFGENMSG = struct.Struct(">BBH")
_TYPE_BITS = 6  # nft numbers a concatenation by shifting its fields' numbers
_ELEMENTS_LIMIT = 60000  # an attribute's length has 16 bits


def _user_data(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value))) + value


def _comment(attribute_kind: int, text: str, kind: UDATA = UDATA.RULE_COMMENT) -> bytes:
    """Encode a comment as the nft program keeps it; nothing for the empty one."""
    if not text:
        return b""
    data = text.encode() + b"\0"
    if len(data) > 254:
        raise ValueError(f"a comment of more than 253 bytes: {text!r}")
    return attribute(attribute_kind, _user_data(kind, data))


def _type_number(types: Sequence[KeyType | RawField]) -> int:
    number = 0
    for key_type in types:
        number = number << _TYPE_BITS | key_type.number
    return number


def _type_length(types: Sequence[KeyType | RawField]) -> int:
    if len(types) == 1:
        return types[0].length
    return sum((key_type.length + 3) & ~3 for key_type in types)


def _byteorder(kind: UDATA, types: Sequence[KeyType | RawField]) -> bytes:
    order = BYTEORDER_HOST if types[0].is_host_order else BYTEORDER_BIG
    return _user_data(kind, struct.pack("=I", order))


def _numbers(*numbers: int) -> bytes:
    pairs = enumerate(numbers)
    return b"".join(_user_data(place, struct.pack("=I", number)) for place, number in pairs)


def _loading(kind: TYPEOF, described: bytes) -> bytes:
    return _numbers(kind) + _user_data(1, described)


def _field_expression(field: KeyType | RawField) -> bytes:
    if isinstance(field, RawField):
        # nft numbers the bases from 1, and counts bits.
        place = _numbers(0, 0, field.base + 1, 8 * field.offset, 8 * field.length)
        return _loading(TYPEOF.PAYLOAD, place)
    if field is KeyType.IFNAME:
        return _loading(TYPEOF.META, _numbers(META.IIFNAME))
    raise ValueError(f"a field of type {field.name} can't stand beside raw ones")


def _typeof(key: Sequence[KeyType | RawField]) -> bytes:
    """Encode ``typeof``, without which nft can't read the key of raw fields that it lists."""
    if not any(isinstance(field, RawField) for field in key):
        return b""
    fields = b"".join(_user_data(n, _field_expression(field)) for n, field in enumerate(key))
    return _user_data(UDATA.SET_KEY_TYPEOF, _loading(TYPEOF.CONCATENATION, fields))


def _encode_set(target: Set) -> bytes:
    parts = [
        attribute_text(SET_ATTR.TABLE, target.table.name),
        attribute_text(SET_ATTR.NAME, target.name),
        attribute_be32(SET_ATTR.FLAGS, target.all_flags),
        attribute_be32(SET_ATTR.KEY_TYPE, _type_number(target.key)),
        attribute_be32(SET_ATTR.KEY_LEN, _type_length(target.key)),
        attribute_be32(SET_ATTR.ID, 1),
    ]
    user_data = _byteorder(UDATA.SET_KEY_BYTEORDER, target.key) + _typeof(target.key)
    if target.data == (KeyType.VERDICT,):
        parts.append(attribute_be32(SET_ATTR.DATA_TYPE, NFT_DATA_VERDICT))
    elif target.data:
        parts.append(attribute_be32(SET_ATTR.DATA_TYPE, _type_number(target.data)))
        parts.append(attribute_be32(SET_ATTR.DATA_LEN, _type_length(target.data)))
        user_data += _byteorder(UDATA.SET_DATA_BYTEORDER, target.data)
    if target.all_flags & SET.CONCAT:
        lengths = (attribute_be32(NFTA_SET_FIELD_LEN, field.length) for field in target.key)
        fields = (nested(NFTA_LIST_ELEM, length) for length in lengths)
        parts.append(nested(SET_ATTR.DESC, nested(NFTA_SET_DESC_CONCAT, *fields)))
    if target.timeout_ms:
        parts.append(attribute_be64(SET_ATTR.TIMEOUT, target.timeout_ms))
    if target.comment:
        user_data += _user_data(UDATA.SET_COMMENT, target.comment.encode() + b"\0")
    parts.append(attribute(SET_ATTR.USERDATA, user_data))
    return b"".join(parts)


def _encode_element(element: Element, *, concatenated: bool) -> bytes:
    parts = [encode_data(ELEMENT.KEY, element.key)]
    if element.key_end and concatenated:
        parts.append(encode_data(ELEMENT.KEY_END, element.key_end))
    if element.data is not None:
        parts.append(encode_data(ELEMENT.DATA, element.data))
    if element.timeout_ms:
        parts.append(attribute_be64(ELEMENT.TIMEOUT, element.timeout_ms))
    parts.append(_comment(ELEMENT.USERDATA, element.comment))
    return nested(NFTA_LIST_ELEM, *parts)


def _encode_interval_end(last: bytes) -> bytes:
    """Encode where an interval of a one-field set ends; none when it reaches the largest key."""
    after = int.from_bytes(last, "big") + 1
    if after >> (8 * len(last)):
        return b""
    key = encode_data(ELEMENT.KEY, after.to_bytes(len(last), "big"))
    return nested(NFTA_LIST_ELEM, key, attribute_be32(ELEMENT.FLAGS, ELEMENT_INTERVAL_END))


def _encode_elements(target: Set, elements: Iterable[Element]) -> Iterator[bytes]:
    """Yield lists of elements, each short enough for one attribute."""
    is_interval = bool(target.flags & SET.INTERVAL)
    collected: list[bytes] = []
    size = 0
    for element in elements:
        encoded = _encode_element(element, concatenated=target.is_concatenated)
        if is_interval and not target.is_concatenated:
            encoded += _encode_interval_end(element.key_end or element.key)
        if size + len(encoded) > _ELEMENTS_LIMIT:
            yield b"".join(collected)
            collected, size = [], 0
        collected.append(encoded)
        size += len(encoded)
    if collected:
        yield b"".join(collected)


class Batch:
    """Collects changes; ``commit`` makes the kernel do all of them or none.

    Every method returns the batch itself. The order matters: a table before its chains, a chain
    before a rule that jumps to it. Names are resolved when the batch is committed.
    """

    def __init__(self) -> None:
        self._requests: list[Request] = []

    def __len__(self) -> int:
        return len(self._requests)

    def add_table(self, table: Table, *, exclusive: bool = False) -> "Batch":
        """Add a table; an existing one is no error unless ``exclusive``."""
        body = attribute_text(TABLE.NAME, table.name) + attribute_be32(TABLE.FLAGS, 0)
        body += _comment(TABLE.USERDATA, table.comment)
        flags = NLM_F_CREATE | (NLM_F_EXCL if exclusive else 0)
        return self._add(NFT_MSG.NEWTABLE, table, body, f"table {table.name}", flags=flags)

    def delete_table(self, table: Table, *, missing_ok: bool = False) -> "Batch":
        """Delete a table and all in it."""
        if missing_ok:  # as every kernel can do it, DESTROYTABLE came with Linux 6.3
            self.add_table(table)
        body = attribute_text(TABLE.NAME, table.name)
        return self._add(NFT_MSG.DELTABLE, table, body, f"table {table.name}")

    def add_chain(self, chain: Chain, *, exclusive: bool = False) -> "Batch":
        """Add a chain; an existing one of the same kind is no error unless ``exclusive``."""
        parts = [self._name_chain(chain)]
        if chain.hook is not None:
            hook = [attribute_be32(CHAIN_HOOK.HOOKNUM, chain.hook)]
            hook.append(attribute_be32(CHAIN_HOOK.PRIORITY, chain.priority))
            if chain.device:
                hook.append(attribute_text(CHAIN_HOOK.DEV, chain.device))
            parts.append(nested(CHAIN.HOOK, *hook))
            parts.append(attribute_be32(CHAIN.POLICY, chain.policy.code))
            parts.append(attribute_text(CHAIN.TYPE, chain.kind))
        parts.append(_comment(CHAIN.USERDATA, chain.comment))
        flags = NLM_F_CREATE | (NLM_F_EXCL if exclusive else 0)
        return self._add(
            NFT_MSG.NEWCHAIN, chain.table, b"".join(parts), f"chain {chain.name}", flags=flags
        )

    def delete_chain(self, chain: Chain) -> "Batch":
        """Delete a chain and its rules; refused (EBUSY) while a rule or map jumps to it."""
        body = self._name_chain(chain)
        return self._add(NFT_MSG.DELCHAIN, chain.table, body, f"chain {chain.name}")

    def flush_chain(self, chain: Chain) -> "Batch":
        """Delete all rules of a chain."""
        body = attribute_text(RULE.TABLE, chain.table.name) + attribute_text(RULE.CHAIN, chain.name)
        return self._add(NFT_MSG.DELRULE, chain.table, body, f"rules of {chain.name}")

    def add_rule(self, rule: Rule, *, first: bool = False) -> "Batch":
        """Add a rule at the end of its chain, or at its beginning."""
        chain = rule.chain
        body = attribute_text(RULE.TABLE, chain.table.name) + attribute_text(RULE.CHAIN, chain.name)
        body += nested(RULE.EXPRESSIONS, *rule.expressions)
        body += _comment(RULE.USERDATA, rule.comment)
        flags = NLM_F_CREATE | (0 if first else NLM_F_APPEND)
        words = f"rule {rule.comment!r} in {chain.name}"
        return self._add(NFT_MSG.NEWRULE, chain.table, body, words, flags=flags)

    def delete_rule(self, chain: Chain, handle: int) -> "Batch":
        """Delete the rule that a dump showed with this handle."""
        body = attribute_text(RULE.TABLE, chain.table.name) + attribute_text(RULE.CHAIN, chain.name)
        body += attribute_be64(RULE.HANDLE, handle)
        return self._add(NFT_MSG.DELRULE, chain.table, body, f"rule {handle} in {chain.name}")

    def add_set(self, target: Set, *, exclusive: bool = False) -> "Batch":
        """Add a set or map; an existing one of the same types is no error unless ``exclusive``."""
        flags = NLM_F_CREATE | (NLM_F_EXCL if exclusive else 0)
        body = _encode_set(target)
        return self._add(NFT_MSG.NEWSET, target.table, body, f"set {target.name}", flags=flags)

    def delete_set(self, target: Set) -> "Batch":
        """Delete a set; refused (EBUSY) while a rule uses it."""
        body = attribute_text(SET_ATTR.TABLE, target.table.name)
        body += attribute_text(SET_ATTR.NAME, target.name)
        return self._add(NFT_MSG.DELSET, target.table, body, f"set {target.name}")

    def add_elements(
        self, target: Set, elements: Iterable[Element], *, exclusive: bool = False
    ) -> "Batch":
        """Add elements; one that is there with the same data is no error unless ``exclusive``."""
        flags = NLM_F_CREATE | (NLM_F_EXCL if exclusive else 0)
        return self._change_elements(NFT_MSG.NEWSETELEM, target, elements, flags)

    def delete_elements(
        self, target: Set, elements: Iterable[Element], *, missing_ok: bool = False
    ) -> "Batch":
        """Delete elements by their keys; ``missing_ok`` needs Linux 6.3, else ENOENT fails."""
        message = NFT_MSG.DESTROYSETELEM if missing_ok else NFT_MSG.DELSETELEM
        return self._change_elements(message, target, elements, 0)

    def flush_set(self, target: Set) -> "Batch":
        """Delete all elements of a set."""
        body = attribute_text(ELEMENT_LIST.TABLE, target.table.name)
        body += attribute_text(ELEMENT_LIST.SET, target.name)
        words = f"elements of {target.name}"
        return self._add(NFT_MSG.DELSETELEM, target.table, body, words)

    def commit(self, netlink: NetlinkSocket, *, generation: int | None = None) -> None:
        """Do all changes, in one sendmsg(2); an empty batch does nothing.

        Args:
            netlink: a NETLINK_NETFILTER socket.
            generation: refuse (ERESTART) when the rule set changed since ``get_generation``
                returned this.

        Raises:
            KernelError: the first change that was refused, named; nothing was changed. EPERM,
                ENOENT (a table, chain, set or element is missing), EEXIST, EBUSY (in use),
                EOPNOTSUPP (the kernel lacks an expression).
        """
        if not self._requests:
            return
        genid = b"" if generation is None else attribute_be32(NFNL_BATCH_GENID, generation)
        resource = _NFGENMSG.pack(0, 0, NFNL_SUBSYS_NFTABLES)
        begin = Request(NFNL_MSG_BATCH_BEGIN, 0, resource + genid, "nftables batch")
        end = Request(NFNL_MSG_BATCH_END, 0, resource, "nftables batch end")
        requests = [begin, *self._requests, end]
        _, failures = netlink.exchange(requests, len(requests) - 2)
        if failures:
            raise failures[min(failures, key=lambda index: index or len(requests))]

    def _add(
        self, message: NFT_MSG, table: Table, body: bytes, words: str, *, flags: int = 0
    ) -> "Batch":
        kind = NFNL_SUBSYS_NFTABLES << 8 | message
        header = _NFGENMSG.pack(table.family, 0, 0)
        call = f"NFT_MSG_{message.name}({table.family.name.lower()} {table.name}, {words})"
        self._requests.append(Request(kind, flags, header + body, call))
        return self

    def _name_chain(self, chain: Chain) -> bytes:
        return attribute_text(CHAIN.TABLE, chain.table.name) + attribute_text(
            CHAIN.NAME, chain.name
        )

    def _change_elements(
        self, message: NFT_MSG, target: Set, elements: Iterable[Element], flags: int
    ) -> "Batch":
        head = attribute_text(ELEMENT_LIST.TABLE, target.table.name)
        head += attribute_text(ELEMENT_LIST.SET, target.name)
        for encoded in _encode_elements(target, elements):
            body = head + nested(ELEMENT_LIST.ELEMENTS, encoded)
            self._add(message, target.table, body, f"elements of {target.name}", flags=flags)
        return self
