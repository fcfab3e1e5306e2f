"""What needs no kernel: error texts, the netlink codec, addresses, builders' arguments."""

import copy
import errno
import pickle

import pytest

from cutaway.linux import netlink as nl
from cutaway.linux.abi import FSCONFIG, MS, SYSTEM_CALLS
from cutaway.linux.addressing import (
    broadcast_of,
    pack_ip,
    pack_mac,
    pack_prefix,
    unpack_ip,
    unpack_mac,
)
from cutaway.linux.errors import KernelError, kernel_error
from cutaway.linux.libc import encode
from cutaway.linux.nftables import KeyType, Set, Table, join_key, pack_port, pack_protocol
from cutaway.linux.nftables.abi import NFPROTO, SET
from cutaway.linux.nftables.batch import Batch
from cutaway.linux.nftables.dumps import parse_change


def test_an_error_reads_like_strace() -> None:
    error = kernel_error(
        errno.EPERM, "mount", "proc", "/proc", "proc", MS.NOSUID | MS.NODEV, None, MS(0)
    )
    assert str(error) == (
        'mount("proc", "/proc", "proc", NOSUID|NODEV, NULL, 0): Operation not permitted'
    )


def test_every_kind_of_argument_has_its_form() -> None:
    error = kernel_error(errno.EINVAL, "f", 'a"b\\c\n', b"\xff", FSCONFIG.CMD_CREATE, 7, (1, 2))
    assert str(error) == ('f("a\\"b\\\\c\\n", "\\\\xff", CMD_CREATE, 7, (1, 2)): Invalid argument')


def test_bits_without_a_name_are_shown() -> None:
    assert "NOSUID|2147483648" in str(kernel_error(1, "mount", MS.NOSUID | MS(0x80000000)))


def test_a_hint_follows_in_brackets() -> None:
    assert str(KernelError(errno.EBUSY, "x()", "in use")) == (
        "x(): Device or resource busy (in use)"
    )


@pytest.mark.parametrize("clone", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_an_error_travels_between_processes(clone: object) -> None:
    error = clone(KernelError(errno.EBUSY, "x()", "in use"))  # type: ignore[operator]
    assert (error.errno, error.call, error.hint) == (errno.EBUSY, "x()", "in use")
    assert isinstance(error, OSError)


def test_text_for_the_c_library() -> None:
    assert encode(None) is None
    assert encode("ä/\udcff") == b"\xc3\xa4/\xff"
    assert encode(b"raw") == b"raw"
    for text in ("a\0b", b"a\0b"):
        with pytest.raises(ValueError, match="embedded null byte"):
            encode(text)


def test_both_machines_know_the_same_calls() -> None:
    assert SYSTEM_CALLS["x86_64"].keys() == SYSTEM_CALLS["aarch64"].keys()


def test_attributes_are_padded_and_read_back() -> None:
    data = nl.attribute(1, b"abcde") + nl.nested(2, nl.attribute_u8(3, 4)) + nl.attribute_u16(5, 6)
    assert len(data) % 4 == 0
    parsed = nl.parse_attributes(data)
    assert parsed[1] == b"abcde"
    assert nl.parse_attributes(parsed[2]) == {3: b"\4"}
    assert int.from_bytes(parsed[5], "little") == 6


def test_numbers_in_both_byte_orders() -> None:
    data = nl.attribute_u32(1, 258) + nl.attribute_be32(2, -1) + nl.attribute_be64(3, 5)
    parsed = nl.parse_attributes(data + nl.attribute_be16(4, 258) + nl.attribute_text(5, "x"))
    assert nl.parse_u32(parsed[1]) == 258
    assert nl.parse_be(parsed[2]) == 0xFFFFFFFF
    assert nl.parse_be(parsed[3]) == 5
    assert parsed[4] == b"\1\2"
    assert nl.parse_text(parsed[5]) == "x"


@pytest.mark.parametrize("data", [b"", b"\1\0", b"\2\0\1\0", b"\0\0\0\0" * 3])
def test_a_torn_attribute_ends_the_list(data: bytes) -> None:
    assert nl.parse_attributes(data) == {}


def test_a_torn_message_ends_the_list() -> None:
    assert list(nl.parse_messages(b"\3\0\0\0" + bytes(20))) == []
    assert list(nl.parse_messages(b"\1")) == []


def test_addresses() -> None:
    assert unpack_ip(pack_ip("172.17.0.2")) == "172.17.0.2"
    assert unpack_ip(pack_ip("fd00::2")) == "fd00::2"
    assert pack_prefix("10.0.0.1") == (bytes((10, 0, 0, 1)), 32)
    assert pack_prefix("fd00::/7")[1] == 7
    assert unpack_ip(broadcast_of(pack_ip("10.1.2.3"), 20)) == "10.1.15.255"
    assert unpack_mac(pack_mac("02:42:ac:11:00:02")) == "02:42:ac:11:00:02"


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.256", "10.0.0.1/33", "10.0.0.1/-1", "x/8"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        pack_prefix(text)


@pytest.mark.parametrize("text", ["", "02:42:ac:11:00", "2:42:ac:11:00:02", "02:42:ac:11:00:zz"])
def test_what_is_no_ethernet_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - int() has its own words for the last
        pack_mac(text)


def test_fields_of_a_key_fill_whole_registers_and_a_single_one_does_not() -> None:
    assert join_key(pack_protocol(6), pack_port(80)) == b"\6\0\0\0\0\x50\0\0"
    assert join_key(pack_port(80)) == b"\0\x50"


def test_flags_of_a_set_follow_from_its_types() -> None:
    table = Table(NFPROTO.INET, "t")
    pair = (KeyType.IPV4_ADDR, KeyType.INET_SERVICE)
    assert Set(table, "s", pair).all_flags == SET(0)
    assert Set(table, "s", pair, flags=SET.INTERVAL).all_flags == SET.INTERVAL | SET.CONCAT
    assert Set(table, "s", pair, (KeyType.VERDICT,), timeout_ms=1).all_flags == (
        SET.MAP | SET.TIMEOUT
    )


def test_events_of_others_are_ignored() -> None:
    assert parse_change(nl.Message(16, 0, 0, bytes(16))) is None
    assert parse_change(nl.Message(10 << 8 | 250, 0, 0, bytes(16))) is None


def test_a_batch_counts_its_changes() -> None:
    table = Table(NFPROTO.INET, "t")
    assert len(Batch().add_table(table).delete_table(table, missing_ok=True)) == 3
