"""What several chains ask of a packet, and the numbers they share. Pure."""

from cutaway.linux.nftables import NFPROTO, expressions
from cutaway.linux.nftables.abi import META

# Priorities of the hooks, as the kernel and the nft program name them.
RAW, DSTNAT, FILTER, SRCNAT = -300, -100, 0, 100

ICMP, ICMPV6 = 1, 58

# A family, the end of its sets' names, and how many registers of 4 bytes an address takes.
FAMILIES = ((NFPROTO.IPV4, "4", 1), (NFPROTO.IPV6, "6", 4))


def in_link(set_name: str, *, invert: bool = False) -> bytes:
    """``iifname`` is in a set."""
    return expressions.meta(META.IIFNAME) + expressions.lookup(set_name, invert=invert)


def out_link(set_name: str, *, invert: bool = False) -> bytes:
    """``oifname`` is in a set."""
    return expressions.meta(META.OIFNAME) + expressions.lookup(set_name, invert=invert)
