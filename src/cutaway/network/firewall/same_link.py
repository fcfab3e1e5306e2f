"""``iif == oif``: does a packet leave by the link that it came in by? Pure.

With br_netfilter loaded, a frame that only crosses a bridge passes the hooks for routed packets
too, with the bridge itself as both links (br_nf_forward). Rules about routing must let it pass;
what the host routes back to where it came from passes with it.

The kernel compares registers with constants and not with one another, so the two indexes are
compared digit by digit, in base 16: each pair of equal digits is an element of one constant set.
"""

import struct

from cutaway.linux.nftables import expressions
from cutaway.linux.nftables.abi import META
from cutaway.network.firewall.sets import Entry

_SET = "samedigits"
_SHIFTS = range(0, 32, 4)


def same_link() -> bytes:
    """Match packets whose two links are one."""
    load = expressions.meta(META.IIF, 0) + expressions.meta(META.OIF, 1)
    masks = (struct.pack("=II", 0xF << shift, 0xF << shift) for shift in _SHIFTS)
    return b"".join(load + expressions.bitwise(m) + expressions.lookup(_SET) for m in masks)


def same_digit_entries() -> list[Entry]:
    """Return the elements of ``samedigits``: at every place each digit beside itself."""
    digits = sorted({digit << shift for digit in range(16) for shift in _SHIFTS})
    return [Entry(_SET, (str(digit), str(digit))) for digit in digits]
