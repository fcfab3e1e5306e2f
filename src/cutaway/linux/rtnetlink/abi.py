"""Numbers of rtnetlink: messages, attributes, flags.

Source: include/uapi/linux/{rtnetlink,if_link,if_addr,neighbour,fib_rules,if}.h.
"""

from enum import IntEnum, IntFlag


class RTM(IntEnum):
    """Message types."""

    NEWLINK = 16
    DELLINK = 17
    GETLINK = 18
    SETLINK = 19
    NEWADDR = 20
    DELADDR = 21
    GETADDR = 22
    NEWROUTE = 24
    DELROUTE = 25
    GETROUTE = 26
    NEWNEIGH = 28
    DELNEIGH = 29
    GETNEIGH = 30
    NEWRULE = 32
    GETRULE = 34


class RTNLGRP(IntEnum):
    """Multicast groups that tell of changes."""

    LINK = 1
    NEIGH = 3
    IPV4_IFADDR = 5
    IPV4_ROUTE = 7
    IPV6_IFADDR = 9
    IPV6_ROUTE = 11


class IFF(IntFlag):
    """Flags of a link."""

    UP = 0x1
    BROADCAST = 0x2
    LOOPBACK = 0x8
    POINTOPOINT = 0x10
    RUNNING = 0x40
    NOARP = 0x80
    PROMISC = 0x100
    ALLMULTI = 0x200
    MULTICAST = 0x1000
    LOWER_UP = 0x10000


class IFLA(IntEnum):
    """Attributes of a link."""

    ADDRESS = 1
    BROADCAST = 2
    IFNAME = 3
    MTU = 4
    LINK = 5
    MASTER = 10
    TXQLEN = 13
    OPERSTATE = 16
    LINKINFO = 18
    IFALIAS = 20
    AF_SPEC = 26
    GROUP = 27
    NET_NS_FD = 28
    EXT_MASK = 29
    NUM_TX_QUEUES = 31
    NUM_RX_QUEUES = 32
    CARRIER = 33
    LINK_NETNSID = 37
    ALT_IFNAME = 53


class IFLA_INFO(IntEnum):
    """Attributes in IFLA_LINKINFO."""

    KIND = 1
    DATA = 2
    SLAVE_KIND = 4
    SLAVE_DATA = 5


class IFLA_BR(IntEnum):
    """Attributes of a bridge."""

    FORWARD_DELAY = 1
    AGEING_TIME = 4
    STP_STATE = 5
    VLAN_FILTERING = 7
    GROUP_FWD_MASK = 9
    MCAST_SNOOPING = 23
    NF_CALL_IPTABLES = 36
    NF_CALL_IP6TABLES = 37
    NF_CALL_ARPTABLES = 38
    VLAN_DEFAULT_PVID = 39


class IFLA_BRPORT(IntEnum):
    """Attributes of a bridge's port."""

    STATE = 1
    MODE = 4  # hairpin
    GUARD = 5
    LEARNING = 8
    UNICAST_FLOOD = 9
    PROXYARP = 10
    MCAST_FLOOD = 27
    BCAST_FLOOD = 30
    NEIGH_SUPPRESS = 32
    ISOLATED = 33


class IFLA_VXLAN(IntEnum):
    """Attributes of a vxlan device."""

    ID = 1
    GROUP = 2
    LINK = 3
    LOCAL = 4
    TTL = 5
    LEARNING = 7
    PROXY = 11
    L2MISS = 13
    L3MISS = 14
    PORT = 15
    GROUP6 = 16
    LOCAL6 = 17


VETH_INFO_PEER = 1
IFLA_VLAN_ID = 1
IFLA_MACVLAN_MODE = 1
IFLA_IPVLAN_MODE = 1
IFLA_IPVLAN_FLAGS = 2
IFLA_INET6_ADDR_GEN_MODE = 8
RTEXT_FILTER_SKIP_STATS = 8


class MACVLAN_MODE(IntEnum):
    """How macvlan devices of one parent see each other."""

    PRIVATE = 1
    VEPA = 2
    BRIDGE = 4
    PASSTHRU = 8
    SOURCE = 16


class IPVLAN_MODE(IntEnum):
    """At which layer ipvlan devices are told apart."""

    L2 = 0
    L3 = 1
    L3S = 2


class IPVLAN_F(IntFlag):
    """How ipvlan devices of one parent see each other; 0 is bridge."""

    PRIVATE = 1
    VEPA = 2


class ADDR_GEN_MODE(IntEnum):
    """How a link gets its link-local IPv6 address."""

    EUI64 = 0
    NONE = 1
    STABLE_PRIVACY = 2
    RANDOM = 3


class IFA(IntEnum):
    """Attributes of an address."""

    ADDRESS = 1
    LOCAL = 2
    LABEL = 3
    BROADCAST = 4
    FLAGS = 8


class IFA_F(IntFlag):
    """Flags of an address."""

    SECONDARY = 0x1
    NODAD = 0x2
    DADFAILED = 0x8
    DEPRECATED = 0x20
    TENTATIVE = 0x40
    PERMANENT = 0x80
    NOPREFIXROUTE = 0x200


class RTA(IntEnum):
    """Attributes of a route."""

    DST = 1
    SRC = 2
    OIF = 4
    GATEWAY = 5
    PRIORITY = 6
    PREFSRC = 7
    METRICS = 8
    MULTIPATH = 9
    TABLE = 15
    VIA = 18


class RTN(IntEnum):
    """Types of a route."""

    UNSPEC = 0
    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8
    THROW = 9


class RT_SCOPE(IntEnum):
    """How far a destination or address is meaningful."""

    UNIVERSE = 0
    SITE = 200
    LINK = 253
    HOST = 254
    NOWHERE = 255


RT_TABLE_MAIN = 254
RT_TABLE_LOCAL = 255
RTPROT_KERNEL = 2
RTPROT_BOOT = 3
RTPROT_STATIC = 4
RTNH_F_ONLINK = 4
RTM_F_CLONED = 0x200


class NDA(IntEnum):
    """Attributes of a neighbour."""

    DST = 1
    LLADDR = 2
    VLAN = 5
    PORT = 6
    VNI = 7
    MASTER = 9


class NUD(IntFlag):
    """States of a neighbour."""

    INCOMPLETE = 0x01
    REACHABLE = 0x02
    STALE = 0x04
    DELAY = 0x08
    PROBE = 0x10
    FAILED = 0x20
    NOARP = 0x40
    PERMANENT = 0x80


class NTF(IntFlag):
    """Flags of a neighbour."""

    SELF = 0x02
    MASTER = 0x04
    PROXY = 0x08
    EXT_LEARNED = 0x10
    STICKY = 0x40
    ROUTER = 0x80


class FRA(IntEnum):
    """Attributes of a policy rule."""

    DST = 1
    SRC = 2
    IIFNAME = 3
    PRIORITY = 6
    FWMARK = 10
    TABLE = 15
    OIFNAME = 17
