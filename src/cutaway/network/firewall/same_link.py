"""``iif == oif``: does a packet leave by the link that it came in by? Pure.

With br_netfilter loaded, a frame that only crosses a bridge passes the hooks for routed packets
too, with the bridge itself as both links (br_nf_forward). Rules about routing must let it pass;
what the host routes back to where it came from passes with it.

The kernel compares registers with constants and not with one another, so the two indexes are
compared digit by digit, in base 16: each pair of equal digits is an element of one constant set.
A bit that no link's index has is added to every digit: nft(8) would print a number that is some
link's index as that link's name, and refuse to read it back where there is no such link.
"""

from cutaway.linux.nftables import expressions, pack_ifindex
from cutaway.linux.nftables.abi import META
from cutaway.network.firewall.sets import Entry

_SET = "samedigits"
_MASKS = tuple(0xF << shift & 0x7FFFFFFF for shift in range(0, 32, 4))
_NO_LINK = 0x4000_0000


def same_link() -> bytes:
    """Match packets whose two links are one."""
    return b"".join(_same_digit(mask) for mask in _MASKS)


def _same_digit(mask: int) -> bytes:
    came_in = expressions.meta(META.IIF, 0) + _digit(mask, register=0)
    goes_out = expressions.meta(META.OIF, 1) + _digit(mask, register=1)
    return came_in + goes_out + expressions.lookup(_SET)


def _digit(mask: int, register: int) -> bytes:
    return expressions.bitwise(pack_ifindex(mask), pack_ifindex(_NO_LINK), register)


def same_digit_entries() -> list[Entry]:
    """Return the elements of ``samedigits``: at every place each digit beside itself."""
    digits = {(0x1111_1111 * digit & mask) ^ _NO_LINK for digit in range(16) for mask in _MASKS}
    return [Entry(_SET, (str(digit), str(digit))) for digit in sorted(digits)]
